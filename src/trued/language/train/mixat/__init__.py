"""MixAT (arXiv 2505.16947): embedding attacks around rewritten requests."""
