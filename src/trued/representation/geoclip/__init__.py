"""GeoCLIP (arXiv 2309.16020): pictures and places in one space."""
