"""Intervals and tests for paired measurements: what "better" may be said on.

Knows arrays of numbers. Knows nothing of claims, verdicts or what was measured. Every interval is two-sided, every
random number comes from the seed that is passed in, and no function loops over resamples in Python.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats

from trued.errors import InputError

EXACT_UP_TO = 16  # pairs whose 2^n sign patterns are enumerated
BLOCK = 1 << 21  # numbers held at once while resampling (16 MB)
STATISTICS = {"mean": lambda before, after: after - before, "log_ratio": lambda before, after: np.log(after / before)}


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


@dataclass(frozen=True)
class McNemar:
    """Discordant pairs and the two-sided p-value for gains and losses being equally likely."""

    gained: int
    lost: int
    p_value: float


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
    before, after = _table(baseline, "baseline"), _table(method, "method")
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
    for count in _blocks(_positive(resamples, "resamples"), seeds + items):
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
    numbers, labels = _row(values, "values"), np.asarray(clusters)
    if labels.shape != numbers.shape:
        raise InputError(f"{len(numbers)} values and clusters of shape {labels.shape}: one label per value")
    names, index = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise InputError("all values are in one cluster: the spread between clusters needs at least 2")
    sums, sizes = np.bincount(index, numbers), np.bincount(index).astype(float)
    rng = np.random.default_rng(seed)
    draws = []
    for count in _blocks(_positive(resamples, "resamples"), len(names)):
        weights = _weights(rng, count, len(names))
        draws.append((weights @ sums) / (weights @ sizes))
    return _percentile(numbers.mean(), np.concatenate(draws), level)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927): it stays in [0, 1] and has width at 0 and n successes.

    Raises:
        InputError: no trials, or successes outside 0..n.
    """
    if not (n > 0 and 0 <= successes <= n):
        raise InputError(f"{successes} successes of {n}: expected 0 <= successes <= n and n >= 1")
    z = stats.norm.ppf((1 + _share(level, "level")) / 2)
    p = successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(p, float(low), float(high), level)


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
    before, after = _booleans(baseline, "baseline"), _booleans(method, "method")
    _same_length(before, after)
    gained, lost = int((~before & after).sum()), int((before & ~after).sum())
    n = gained + lost
    if n == 0:
        p_value = 1.0
    elif exact:
        p_value = min(1.0, 2 * stats.binom.cdf(min(gained, lost), n, 0.5))
    else:
        p_value = stats.chi2.sf(max(0, abs(gained - lost) - 1) ** 2 / n, df=1)
    return McNemar(gained, lost, float(p_value))


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
    before, after = _row(baseline, "baseline"), _row(method, "method")
    _same_length(before, after)
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
    for size in _blocks(_positive(resamples, "resamples"), n):
        signs = 1 - 2 * rng.integers(2, size=(size, n), dtype=np.int8)
        count += int((score(signs @ differences) >= observed).sum())
    return (1 + count) / (1 + resamples)


def holm(p_values: ArrayLike) -> Float[np.ndarray, " tests"]:
    """Holm's step-down adjustment (Holm 1979): reject where it is at most alpha, and the family-wise error is alpha.

    Raises:
        InputError: no p-values, or one outside [0, 1].
    """
    p = _row(p_values, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"p_values range from {p.min()} to {p.max()}: expected numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    result = np.empty_like(p)
    result[order] = adjusted
    return result


def e_process(outcomes: ArrayLike, p0: float) -> Float[np.ndarray, " outcomes"]:
    """Log wealth of a bettor against "the success rate is at most p0", after every outcome.

    Before outcome x_t it stakes lambda_t >= 0 and its wealth is multiplied by 1 + lambda_t (x_t - p0) (testing by
    betting, Waudby-Smith and Ramdas, arXiv 2010.09686); lambda_t = (q - p0) / (p0 (1 - p0)) with q the
    Krichevsky-Trofimov estimate (s + 1/2) / (t + 1) of the past, raised to p0 where it is below. Under the null
    hypothesis, and without independence, wealth ever reaching 1 / alpha has probability at most alpha (Ville), so
    `exp` of the running maximum may be looked at after every outcome: reject once it exceeds log(1 / alpha).
    For "at least p0", pass the negated outcomes and 1 - p0.

    Args:
        outcomes: booleans in the order of their arrival.
        p0: the rate that is still acceptable, inside (0, 1).

    Raises:
        InputError: no outcomes, values other than true and false, or p0 outside (0, 1).
    """
    x = _booleans(outcomes, "outcomes")
    _share(p0, "p0")
    t = np.arange(len(x))
    q = np.maximum(p0, (np.cumsum(x) - x + 0.5) / (t + 1))
    return np.cumsum(np.where(x, np.log(q / p0), np.log((1 - q) / (1 - p0))))


def _weights(rng: np.random.Generator, resamples: int, n: int) -> Float[np.ndarray, "resamples n"]:
    """Multinomial weights that sum to one: how often each of n units is drawn in n draws with replacement, over n."""
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n) / n


def _blocks(resamples: int, width: int) -> Iterator[int]:
    size = max(1, BLOCK // width)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _percentile(estimate: float | np.ndarray, draws: Float[np.ndarray, " resamples"], level: float) -> Interval:
    tail = (1 - _share(level, "level")) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(estimate), float(low), float(high), level)


def _numbers(values: ArrayLike, name: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not a table of numbers ({error}): every seed needs the same items") from error
    if array.size == 0:
        raise InputError(f"{name} is empty: there is nothing to compare")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name} holds {array[where]} at {where}: drop that item on both sides, or mend the measure")
    return array


def _row(values: ArrayLike, name: str) -> Float[np.ndarray, " items"]:
    array = _numbers(values, name)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}: expected one number per item")
    return array


def _table(values: ArrayLike, name: str) -> Float[np.ndarray, "seeds items"]:
    array = _numbers(values, name)
    if array.ndim not in (1, 2):
        raise InputError(f"{name} has shape {array.shape}: expected [seeds, items] or [items]")
    return np.atleast_2d(array)


def _booleans(values: ArrayLike, name: str) -> np.ndarray:
    array = _row(values, name)
    if not np.isin(array, (0, 1)).all():
        raise InputError(f"{name} holds values other than true and false")
    return array.astype(bool)


def _same_length(baseline: np.ndarray, method: np.ndarray) -> None:
    if len(baseline) != len(method):
        raise InputError(
            f"baseline and method differ in length ({len(baseline)} and {len(method)}): one of each per item"
        )


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"{name} {value}: expected at least 1")
    return value


def _share(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise InputError(f"{name} {value}: expected a number inside (0, 1)")
    return value
