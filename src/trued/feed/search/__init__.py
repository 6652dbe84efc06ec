"""Search by words and by meaning, selections for feeds and mails, and recommendations."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
