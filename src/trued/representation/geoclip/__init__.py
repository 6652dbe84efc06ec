"""GeoCLIP (arXiv 2309.16020): pictures, places and text in one space."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
