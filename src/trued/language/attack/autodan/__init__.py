"""AutoDAN (arXiv 2310.04451): natural prefixes found by a genetic algorithm."""
