"""Intervals and tests by drawing again: the bootstrap over seeds, items and clusters, and the sign-flip test.

Knows arrays of numbers. Every random number comes from the seed that is passed in, and no function loops over resamples
in Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from trued.errors import InputError
from trued.learn.statistics.arguments import positive, row, same_length, share, table
from trued.learn.statistics.interval import Interval

EXACT_UP_TO = 16  # pairs whose 2^n sign patterns are enumerated
BLOCK = 1 << 21  # numbers held at once while resampling (16 MB)
STATISTICS = {"mean": lambda before, after: after - before, "log_ratio": lambda before, after: np.log(after / before)}


def paired_bootstrap(
    baseline: ArrayLike,
    method: ArrayLike,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int,
    statistic: Literal["mean", "log_ratio"] = "mean",
) -> Interval:
    """Percentile bootstrap of method against baseline, measured on the same items with the same seeds.

    Seeds and items are crossed, and both are samples, so both are drawn with replacement, independently: a resample of
    the differences D is w_seeds D w_items with multinomial weights (the "pigeonhole" bootstrap, Owen 2007,
    arXiv 0712.1111), which errs, if at all, towards wide intervals over items. Over a few seeds it is coarse: three
    seeds say little about the spread between seeds, and nothing here can change that.

    Args:
        baseline: one number per seed and item, [seeds, items], or [items] for a single seed.
        method: the same, element by element of the same seeds and items.
        resamples: number of bootstrap draws.
        level: coverage aimed at.
        seed: of the draws; the same seed gives the same interval.
        statistic: "mean", the mean difference method - baseline; or "log_ratio", log(mean(method) / mean(baseline)) of
            positive numbers such as seconds. For perplexity pass negative log-likelihoods and "mean": the mean
            difference is the log ratio of perplexities. `Interval.exp` turns either into a ratio.

    Raises:
        InputError: shapes that differ, nothing to compare, NaN, or numbers a log ratio cannot take.
    """
    before, after = table(baseline, "baseline"), table(method, "method")
    if before.shape != after.shape:
        raise InputError(
            f"baseline and method differ in shape ({before.shape} and {after.shape}): one of each per seed and item"
        )
    if statistic not in STATISTICS:
        raise InputError(f"unknown statistic {statistic!r}: {' or '.join(map(repr, STATISTICS))}")
    if statistic == "log_ratio" and min(before.min(), after.min()) <= 0:
        raise InputError("log_ratio needs positive numbers, found zero or less: use statistic='mean'")
    seeds, items = before.shape
    rng = np.random.default_rng(seed)
    draws = []
    for count in _blocks(positive(resamples, "resamples"), seeds + items):
        seed_weights, item_weights = _weights(rng, count, seeds), _weights(rng, count, items)
        means = (np.einsum("ri,ri->r", seed_weights @ table, item_weights) for table in (before, after))
        draws.append(STATISTICS[statistic](*means))
    return _percentile(STATISTICS[statistic](before.mean(), after.mean()), np.concatenate(draws), level)


def cluster_bootstrap(
    values: ArrayLike, clusters: ArrayLike, *, resamples: int = 10_000, level: float = 0.95, seed: int
) -> Interval:
    """Percentile bootstrap of the mean of values that come in clusters; whole clusters are drawn.

    Args:
        values: one number per item.
        clusters: one label per item; items of one label depend on each other (attempts on one prompt, say).
        resamples: number of bootstrap draws.
        level: coverage aimed at.
        seed: of the draws.

    Raises:
        InputError: lengths that differ, no items, NaN, or a single cluster.
    """
    numbers, labels = row(values, "values"), np.asarray(clusters)
    if labels.shape != numbers.shape:
        raise InputError(f"{len(numbers)} values and clusters of shape {labels.shape}: one label per value")
    names, index = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise InputError("all values are in one cluster: the spread between clusters needs at least 2")
    sums, sizes = np.bincount(index, numbers), np.bincount(index).astype(float)
    rng = np.random.default_rng(seed)
    draws = []
    for count in _blocks(positive(resamples, "resamples"), len(names)):
        weights = _weights(rng, count, len(names))
        draws.append((weights @ sums) / (weights @ sizes))
    return _percentile(numbers.mean(), np.concatenate(draws), level)


def permutation_test(
    baseline: ArrayLike,
    method: ArrayLike,
    *,
    alternative: Literal["two-sided", "greater", "less"] = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Paired sign-flip test of the mean difference method - baseline (Fisher 1935).

    Under the null hypothesis each difference is as likely with either sign. Up to 16 pairs every sign pattern is
    counted and the p-value is exact; beyond, (1 + count) / (1 + resamples) of random patterns, which is valid too.

    Args:
        baseline: one number per item.
        method: one number per item, in the same order.
        alternative: "greater" asks whether method exceeds baseline, "less" the reverse.
        resamples: number of random patterns beyond 16 pairs.
        seed: of the patterns.

    Raises:
        InputError: lengths that differ, no items, NaN, or an unknown alternative.
    """
    before, after = row(baseline, "baseline"), row(method, "method")
    same_length(before, after)
    if alternative not in ("two-sided", "greater", "less"):
        raise InputError(f"unknown alternative {alternative!r}: 'two-sided', 'greater' or 'less'")
    differences = after - before
    n = len(differences)
    score = {"two-sided": np.abs, "greater": np.positive, "less": np.negative}[alternative]
    slack = 1e-12 * np.abs(differences).sum()  # sums of the same numbers in another order must count as ties
    observed = score(differences.sum()) - slack
    if n <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((score(signs @ differences) >= observed).mean())
    rng = np.random.default_rng(seed)
    count = 0
    for size in _blocks(positive(resamples, "resamples"), n):
        signs = 1 - 2 * rng.integers(2, size=(size, n), dtype=np.int8)
        count += int((score(signs @ differences) >= observed).sum())
    return (1 + count) / (1 + resamples)


def _weights(rng: np.random.Generator, resamples: int, n: int) -> Float[np.ndarray, "resamples n"]:
    """Multinomial weights that sum to one: how often each of n units is drawn in n draws with replacement, over n."""
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n) / n


def _blocks(resamples: int, width: int) -> Iterator[int]:
    size = max(1, BLOCK // width)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _percentile(estimate: float | np.ndarray, draws: Float[np.ndarray, " resamples"], level: float) -> Interval:
    tail = (1 - share(level, "level")) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(estimate), float(low), float(high), level)
