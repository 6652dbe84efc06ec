"""Two yes/no outcomes on the same items: the interval of the difference of their rates, and McNemar's test.

Knows booleans and counts. Only items on which the two differ speak for a difference; the others say how small it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import optimize, stats

from trued.errors import InputError
from trued.learn.statistics.arguments import booleans, same_length, share
from trued.learn.statistics.interval import Interval

STEP = 1e-9  # from the estimate, where the score is 0 / 0, into the interval


@dataclass(frozen=True)
class McNemar:
    """Discordant pairs and the two-sided p-value for gains and losses being equally likely."""

    gained: int
    lost: int
    p_value: float


def paired_score_interval(gained: float, lost: float, n: int, *, level: float = 0.95) -> Interval:
    """Score interval of the difference of two rates on the same items (Tango 1998, Statistics in Medicine 17:891).

    It holds the differences D that the score test does not reject,
    ``(gained - lost - n D)^2 <= z^2 n (2 q + D (1 - D))`` with q the maximum-likelihood share of lost items under D. It
    has width where all items agree (``z^2 / (n + z^2)`` either way), stays in [-1, 1], and leaves out 0 exactly where
    ``(gained - lost)^2 / (gained + lost) > z^2``.

    Args:
        gained: items that are false, then true; where items stand for several outcomes, their summed gain.
        lost: items that are true, then false.
        n: all items.
        level: coverage aimed at.

    Raises:
        InputError: no items, or more of them that differ than there are.
    """
    if not (n > 0 and min(gained, lost) >= 0 and gained + lost <= n):
        raise InputError(f"{gained} gained and {lost} lost of {n}: expected counts that sum to at most n, and n >= 1")
    z = float(stats.norm.ppf((1 + share(level, "level")) / 2))
    estimate = (gained - lost) / n

    def score(difference: float) -> float:
        b = -gained - lost + (2 * n - gained + lost) * difference
        c = -lost * difference * (1 - difference)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * q + difference * (1 - difference))
        return (gained - lost - n * difference) - math.copysign(z, estimate - difference) * math.sqrt(
            max(0.0, variance)
        )

    low = -1.0 if estimate == -1 else optimize.root_scalar(score, bracket=(-1.0, estimate - STEP)).root
    high = 1.0 if estimate == 1 else optimize.root_scalar(score, bracket=(estimate + STEP, 1.0)).root
    return Interval(estimate, float(low), float(high), level)


def mcnemar(baseline: ArrayLike, method: ArrayLike, *, exact: bool = True) -> McNemar:
    """McNemar's test of two yes/no outcomes on the same items (McNemar 1947).

    Only items on which the two differ speak: `gained` ones are false, then true; `lost` ones true, then false.

    Args:
        baseline: booleans, one per item.
        method: booleans, one per item, in the same order.
        exact: binomial test; False gives the chi-squared approximation with continuity correction.

    Raises:
        InputError: lengths that differ, no items, or values other than true and false.
    """
    before, after = booleans(baseline, "baseline"), booleans(method, "method")
    same_length(before, after)
    gained, lost = int((~before & after).sum()), int((before & ~after).sum())
    n = gained + lost
    if n == 0:
        p_value = 1.0
    elif exact:
        p_value = stats.binomtest(gained, n).pvalue
    else:
        p_value = stats.chi2.sf(max(0, abs(gained - lost) - 1) ** 2 / n, df=1)
    return McNemar(gained, lost, float(p_value))
