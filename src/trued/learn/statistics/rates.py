"""Shares of items: their score interval, and what is left of it where some items are unknown.

Knows counts. Knows nothing of what is counted. This is the one place where a rate gets its bounds: what is unknown is
counted neither for nor against it, so the rate is a lower bound, and its interval reaches up to what it would be if all
that is unknown counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import stats

from trued.errors import InputError
from trued.learn.statistics.arguments import share
from trued.learn.statistics.interval import Interval
from trued.learn.statistics.resampling import cluster_bootstrap


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927): it stays in [0, 1] and has width at 0 and n successes.

    Raises:
        InputError: no trials, or successes outside 0..n.
    """
    if not (n > 0 and 0 <= successes <= n):
        raise InputError(f"{successes} successes of {n}: expected 0 <= successes <= n and n >= 1")
    bounds = stats.binomtest(successes, n).proportion_ci(share(level, "level"), method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high), level)


@dataclass(frozen=True)
class Rate:
    """The share of items that are hits, where of some it may be unknown whether they are.

    Attributes:
        least: the share of certain hits: the rate itself where nothing is unknown, else a lower bound of it.
        most: the share if every unknown item were a hit.
        low: lower end of the interval of `least`.
        high: upper end of the interval of `most`.
        n: items.
    """

    least: float
    most: float
    low: float
    high: float
    n: int
    level: float = 0.95

    @classmethod
    def of(cls, hits: int, unknown: int, n: int, *, level: float = 0.95) -> Rate:
        """Return the rate of independent items, with Wilson's interval.

        Raises:
            InputError: no items, or more hits and unknown ones than items.
        """
        low, high = wilson(hits, n, level=level), wilson(hits + unknown, n, level=level)
        return cls(low.estimate, high.estimate, low.low, high.high, n, level)

    @property
    def lower_bound(self) -> bool:
        """Whether the rate may be higher than `least`."""
        return self.most > self.least

    @property
    def interval(self) -> Interval:
        """`least` with an interval that holds whatever the unknown items turn out to be."""
        return Interval(self.least, self.low, self.high, self.level)


def rate(
    hits: Bool[np.ndarray, " items"],
    unknown: Bool[np.ndarray, " items"] | None = None,
    clusters: Sequence[str | int] | None = None,
    *,
    level: float = 0.95,
    seed: int,
) -> Rate:
    """Return the share of items that are hits, and its bounds.

    Args:
        hits: items that count for certain.
        unknown: items that may count or not, none of them a hit.
        clusters: one label an item, where items of one label depend on each other (attempts on one prompt, say).
        level: coverage aimed at.
        seed: of the resampling of clusters.

    Raises:
        InputError: no items, an item that is both, or lengths that differ.
    """
    maybe = np.zeros(len(hits), dtype=bool) if unknown is None else unknown
    if len(maybe) != len(hits):
        raise InputError(f"{len(hits)} hits and {len(maybe)} marks of unknown ones: one of each per item")
    if (both := int((maybe & hits).sum())) > 0:
        raise InputError(f"{both} of {len(hits)} items are hits and unknown at once: an item is one of them at most")
    if clusters is None or len(set(clusters)) == len(clusters):
        return Rate.of(int(hits.sum()), int(maybe.sum()), len(hits), level=level)
    low, high = (_clustered(values, clusters, level=level, seed=seed) for values in (hits, hits | maybe))
    ends = min(low.low, high.low), max(low.high, high.high)  # a bootstrap's ends need not move with its estimate
    return Rate(low.estimate, high.estimate, *ends, len(hits), level)


def _clustered(hits: Bool[np.ndarray, " items"], clusters: Sequence[str | int], *, level: float, seed: int) -> Interval:
    """Resample whole clusters; where they are all alike, which says nothing of their spread, count each as one item."""
    number = len(set(clusters))
    if number == 1:
        return Interval(float(hits.mean()), 0.0, 1.0, level)  # one cluster says nothing of others
    drawn = cluster_bootstrap(hits, list(clusters), level=level, seed=seed)
    if drawn.low < drawn.high:
        return drawn
    alike = drawn.estimate * number
    low, high = wilson(math.floor(alike), number, level=level), wilson(math.ceil(alike), number, level=level)
    return Interval(drawn.estimate, low.low, high.high, level)
