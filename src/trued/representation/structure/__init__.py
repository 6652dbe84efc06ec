"""STRUCTURE (arXiv 2506.16895): frozen encoders aligned from few pairs."""
