"""`trued repair`."""
