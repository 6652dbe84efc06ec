"""`trued align`: training an adapter by any of the methods."""
