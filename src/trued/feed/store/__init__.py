"""The store's parts: tables, ingest, filters, what people leave beside a paper, and who gets digests."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
