"""Methods that train a language model, one file a paper."""
