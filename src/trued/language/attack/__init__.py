"""Attacks on refusals: one file a method, all of one contract (`contract.py`).

They are for measuring, and training against, how well a model that one is responsible for keeps refusing. No harmful
request or reply ships with them: behaviours come from the user, and targets default to a generic opening.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
