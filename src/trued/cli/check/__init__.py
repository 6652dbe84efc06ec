"""`trued check`: safety, robustness and usefulness, and gates for a pipeline."""
