"""One training loop for every method that learns by gradient descent, and what it stands on."""
