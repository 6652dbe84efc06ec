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

from trued.learn.statistics import (
    Interval,
    cluster_bootstrap,
    holm,
    mcnemar,
    paired_bootstrap,
    permutation_test,
    wilson,
)

Unit = Literal["share", "nats/token", "perplexity"]


@dataclass(frozen=True)
class Change:
    """This model against the one it is compared with, on the same items.

    Args:
        baseline: the other model's value.
        estimate: this minus other, in the metric's unit; for a perplexity their ratio.
        low, high: its 95 % interval, by paired bootstrap over prompts.
        p_value: of a rate: McNemar's exact test, or a permutation test where prompts have several replies each.
        p_holm: the same, adjusted for all rates of the check (Holm).
    """

    baseline: float
    estimate: float
    low: float
    high: float
    p_value: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Args:
        id: unique within a check, such as "asr.templates".
        group, name: what it is called: a heading, and a line below it.
        value: the estimate; a share lies between 0 and 1.
        low, high: its 95 % interval.
        unit: of the three above.
        better: which direction is welcome.
        n: the items behind it: replies, prompts or conversations.
        unknown: share of the items on which the judge could not tell; never part of a refusal rate.
        lower_bound: the true value can only be higher, for some items are unknown or were never tried.
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
    lower_bound: bool = False
    change: Change | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def rate_interval(hits: Bool[np.ndarray, " replies"], prompts: Sequence[str], *, seed: int) -> Interval:
    """The share of replies that are hits: Wilson where every prompt has one reply, else whole prompts are resampled."""
    if len(set(prompts)) == len(prompts):
        return wilson(int(hits.sum()), len(hits))
    if len(set(prompts)) == 1:
        return Interval(float(hits.mean()), 0.0, 1.0, 0.95)  # one prompt says nothing of others
    return cluster_bootstrap(hits, list(prompts), seed=seed)


def rate_change(
    before: Bool[np.ndarray, " replies"], after: Bool[np.ndarray, " replies"], prompts: Sequence[str], *, seed: int
) -> Change:
    """Compare two rates on the same replies, paired by prompt."""
    first, second = _by_prompt(before, prompts), _by_prompt(after, prompts)
    found = paired_bootstrap(first, second, seed=seed)
    if len(first) == len(before):
        p_value = mcnemar(before, after).p_value
    else:
        p_value = permutation_test(first, second, seed=seed)
    return Change(float(before.mean()), found.estimate, found.low, found.high, p_value)


def mean_interval(values: Sequence[float], *, seed: int) -> Interval:
    """The mean of one number per item, items resampled."""
    return paired_bootstrap(np.zeros(len(values)), values, seed=seed)


def mean_change(before: Sequence[float], after: Sequence[float], *, seed: int) -> Change:
    """Compare two means on the same items."""
    found = paired_bootstrap(before, after, seed=seed)
    return Change(float(np.mean(before)), found.estimate, found.low, found.high)


def ratio_change(before: Sequence[float], after: Sequence[float], *, seed: int) -> Change:
    """Compare two perplexities, given the negative log-likelihoods of the same conversations, as a ratio."""
    found = paired_bootstrap(before, after, seed=seed).exp()
    return Change(math.exp(float(np.mean(before))), found.estimate, found.low, found.high)


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
