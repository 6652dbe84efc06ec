"""Alignment recovery (arXiv 2504.09757): restore a few weights of a fine-tuned model so that it refuses again."""
