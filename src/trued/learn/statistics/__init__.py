"""Intervals and tests for paired measurements: what "better" may be said on.

Knows arrays of numbers. Knows nothing of claims, verdicts or what was measured. Every interval is two-sided, and every
random number comes from the seed that is passed in.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
