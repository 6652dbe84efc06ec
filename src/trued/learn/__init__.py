"""What methods learn with: losses on log-probabilities, packing, statistics. Knows nothing of papers or the lab."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
