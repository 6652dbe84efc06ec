"""`trued papers`: the store of papers and the cards."""
