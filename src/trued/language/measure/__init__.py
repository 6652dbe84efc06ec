"""What a language model does: refusals, robustness, usefulness."""
