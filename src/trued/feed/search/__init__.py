"""Finding papers: by words, by meaning, by likeness to others."""
