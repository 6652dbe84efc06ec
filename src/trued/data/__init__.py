"""Prompts, questions, corpora and pictures: records and tensors, nothing learned. One loader a file."""
