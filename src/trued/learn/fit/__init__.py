"""One training loop for every method that learns by gradient descent, and what it stands on."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
