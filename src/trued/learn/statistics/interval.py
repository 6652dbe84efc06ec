"""An estimate with its interval.

Knows four numbers. Knows nothing of how they were computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval [low, high] at `level` (0.95 for 95 %)."""

    estimate: float
    low: float
    high: float
    level: float

    def excludes(self, value: float) -> bool:
        """True if `value` lies outside the interval."""
        return not self.low <= value <= self.high

    def exp(self) -> Interval:
        """The same statement about the exponential: a log ratio read as a ratio."""
        return Interval(math.exp(self.estimate), math.exp(self.low), math.exp(self.high), self.level)
