"""Repairs: what brings back to a fine-tuned model what its fine-tuning broke. One file a method."""
