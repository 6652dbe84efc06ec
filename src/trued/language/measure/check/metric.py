"""One number of a check, with its interval, and its paired change against another model's.

Knows rates, means and the statistics of both. Knows nothing of models, replies or how they were asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from trued.learn.statistics.interval import Interval
from trued.learn.statistics.multiple import holm
from trued.learn.statistics.paired import mcnemar, paired_score_interval
from trued.learn.statistics.rates import Rate
from trued.learn.statistics.resampling import paired_bootstrap, permutation_test

Unit = Literal["share", "nats/token", "perplexity"]


@dataclass(frozen=True)
class Change:
    """This model against the one it is compared with, on the same items.

    Args:
        baseline: the other model's value.
        estimate: this minus other, in the metric's unit; for a perplexity their ratio.
        low, high: its 95 % interval, whatever the unknown replies of both are: of a rate Tango's score interval, or a
            paired bootstrap over prompts that have several replies each; of a mean a paired bootstrap.
        p_value: of a rate: McNemar's exact test, or a permutation test where prompts have several replies each; the
            largest that the unknown replies leave possible, so 1 where they could reverse the change.
        p_holm: the same, adjusted for all rates of the check (Holm).
        baseline_bound: whether `baseline` is a lower bound, for some of the other model's replies are unknown.
    """

    baseline: float
    estimate: float
    low: float
    high: float
    p_value: float | None = None
    p_holm: float | None = None
    baseline_bound: bool = False


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Args:
        id: unique within a check, such as "asr.templates".
        group, name: what it is called: a heading, and a line below it.
        value: the estimate; a share lies between 0 and 1. Where replies are unknown it is a lower bound.
        low, high: its 95 % interval, whatever the unknown ones are.
        unit: of the three above.
        better: which direction is welcome.
        n: the items behind it: replies, prompts or conversations.
        unknown: share of the items on which the judge could not tell; part of no rate.
        most: the value if all that is unknown or was never tried counted; None where it is `value`.
        change: against another model, where there is one.
    """

    id: str
    group: str
    name: str
    value: float
    low: float
    high: float
    unit: Unit
    better: Literal["higher", "lower"]
    n: int
    unknown: float | None = None
    most: float | None = None
    change: Change | None = None

    @property
    def highest(self) -> float:
        """The value at its highest, with all that is unknown or was never tried."""
        return self.value if self.most is None else self.most

    @property
    def lower_bound(self) -> bool:
        """Whether the value may be higher, for some items are unknown or were never tried."""
        return self.highest > self.value

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "lower_bound": self.lower_bound}


def rate_metric(rate: Rate, **facts: Any) -> Metric:
    """Return a rate as a metric; `facts` are its other fields."""
    most = rate.most if rate.lower_bound else None
    return Metric(value=rate.least, low=rate.low, high=rate.high, unit="share", n=rate.n, most=most, **facts)


@dataclass(frozen=True)
class Outcomes:
    """What the replies to one way of asking are, one entry a reply: hits, and those that may be hits or not."""

    hits: Bool[np.ndarray, " replies"]
    unknown: Bool[np.ndarray, " replies"]


def rate_change(
    before: Outcomes,
    after: Outcomes,
    prompts: Sequence[str],
    *,
    same: Bool[np.ndarray, " replies"] | None = None,
    seed: int,
) -> Change:
    """Compare two rates on the same replies, paired by prompt, whatever the unknown replies are.

    The interval reaches from that of the least difference, where unknown replies before are hits and unknown ones after
    are none, to that of the greatest.

    Args:
        before, after: of the two models.
        prompts: the prompt of each reply.
        same: replies that are the same in both, word for word: they cannot differ, known or not.
        seed: of the resampling where prompts have several replies.
    """
    free = np.ones(len(prompts), dtype=bool) if same is None else ~same
    first, second = before.unknown & free, after.unknown & free
    least = _difference(before.hits | first, after.hits, prompts, seed=seed)
    most = least if not (first.any() or second.any()) else None
    if most is None:
        most = _difference(before.hits, after.hits | second, prompts, seed=seed)
    if least.interval.estimate > 0:
        p_value = least.p_value
    elif most.interval.estimate < 0:
        p_value = most.p_value
    else:
        p_value = 1.0
    low, high = min(least.interval.low, most.interval.low), max(least.interval.high, most.interval.high)
    estimate = float(after.hits.mean()) - float(before.hits.mean())
    return Change(
        float(before.hits.mean()), estimate, low, high, p_value, baseline_bound=bool(before.unknown.any())
    )  # fmt: skip


@dataclass(frozen=True)
class _Difference:
    interval: Interval
    p_value: float


def _difference(
    before: Bool[np.ndarray, " replies"], after: Bool[np.ndarray, " replies"], prompts: Sequence[str], *, seed: int
) -> _Difference:
    """The difference of two rates where every reply is known."""
    if len(set(prompts)) == len(prompts):
        test = mcnemar(before, after)
        return _Difference(paired_score_interval(test.gained, test.lost, len(prompts)), test.p_value)
    first, second = _by_prompt(before, prompts), _by_prompt(after, prompts)
    interval, p_value = paired_bootstrap(first, second, seed=seed), permutation_test(first, second, seed=seed)
    if interval.low == interval.high:  # all prompts alike, which says nothing of their spread
        changes = second - first
        gained, lost = float(changes.clip(min=0).sum()), float(-changes.clip(max=0).sum())
        interval = paired_score_interval(gained, lost, len(changes))
    return _Difference(interval, p_value)


def mean_interval(values: Sequence[float], *, seed: int) -> Interval:
    """The mean of one number per item, items resampled."""
    return paired_bootstrap(np.zeros(len(values)), values, seed=seed)


def mean_change(before: Sequence[float], after: Sequence[float], *, seed: int) -> Change:
    """Compare two means on the same items."""
    difference = paired_bootstrap(before, after, seed=seed)
    return Change(float(np.mean(before)), difference.estimate, difference.low, difference.high)


def ratio_change(before: Sequence[float], after: Sequence[float], *, seed: int) -> Change:
    """Compare two perplexities, given the negative log-likelihoods of the same conversations, as a ratio."""
    ratio = paired_bootstrap(before, after, seed=seed).exp()
    return Change(math.exp(float(np.mean(before))), ratio.estimate, ratio.low, ratio.high)


def adjusted(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics with Holm's adjustment over all p-values among them."""
    tested = [i for i, metric in enumerate(metrics) if metric.change and metric.change.p_value is not None]
    result = list(metrics)
    if tested:
        adjusted_values = holm([metrics[i].change.p_value for i in tested])  # pyright: ignore
        for i, p in zip(tested, adjusted_values, strict=True):
            result[i] = replace(metrics[i], change=replace(metrics[i].change, p_holm=float(p)))  # pyright: ignore
    return tuple(result)


def _by_prompt(hits: Bool[np.ndarray, " replies"], prompts: Sequence[str]) -> Float[np.ndarray, " prompts"]:
    """The mean over each prompt's replies, prompts in the order of their first reply."""
    order = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    index = np.array([order[prompt] for prompt in prompts])
    return np.bincount(index, hits) / np.bincount(index)
