"""What methods learn with: losses on log-probabilities, packing, statistics. Knows nothing of papers or the lab."""
