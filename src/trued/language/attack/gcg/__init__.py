"""Greedy Coordinate Gradient (arXiv 2307.15043) and what shares its search: ensembles and probe sampling."""
