"""Generation: samplers and the models that they draw from."""
