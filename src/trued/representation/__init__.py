"""Representations: shared spaces of several modalities, and what is compared in them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
