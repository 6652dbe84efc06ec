"""Experiments: one file a paper, the only place where a method meets the lab."""
