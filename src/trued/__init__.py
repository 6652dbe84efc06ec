"""trued: measure, attack, train, steer and repair models, and check what papers claim about it.

Names are imported when they are first used, so that ``import trued`` needs neither torch nor time.
"""

import lazy_loader as lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
