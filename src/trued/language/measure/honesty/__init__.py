"""Alignment for honesty, measured (arXiv 2312.07000): what a model knows, and whether it declines the rest."""
