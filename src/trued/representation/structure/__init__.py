"""STRUCTURE (arXiv 2506.16895): frozen encoders aligned from few pairs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
