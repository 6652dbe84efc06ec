"""Language models: the engine, endpoints, judges, measures, and one file a method."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
