"""`trued attack`: attacks, suites and deployment studies."""
