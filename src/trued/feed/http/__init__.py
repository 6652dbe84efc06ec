"""HTTP for the feed: a polite client with a cache, a pause between requests, and a guard against private addresses."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
