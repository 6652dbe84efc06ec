"""Verdicts: supported, contradicted or inconclusive, computed from an interval and the effect that the claim predicts.

Knows a claim's direction and margin, and intervals. Knows nothing of models, of runs or of what was measured.
A verdict is never typed in: it is a pure function of the measurements and of a margin that was stated beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from trued.lab.wording import amounts, number
from trued.learn.statistics.interval import Interval
from trued.learn.statistics.resampling import paired_bootstrap
from trued.papers.card import Claim

Rows = Sequence[Sequence[float]]  # [seeds][items]


class Kind(StrEnum):
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim, and why, in a sentence."""

    kind: Kind
    why: str


@dataclass(frozen=True)
class Assessment:
    """The effect of the method, that of the control, and the verdict on the claim.

    Attributes:
        effect: positive as claimed (higher: method − baseline; lower: baseline − method), a logarithm for ratios;
            None if nothing was measured.
        control: the same with the control in the method's place; None if it was not measured.
    """

    effect: Interval | None
    control: Interval | None
    verdict: Verdict


def assess(claim: Claim, baseline: Rows, method: Rows, control: Rows | None = None) -> Assessment:
    """Compare the arms by a paired bootstrap over seeds and items, and judge the claim.

    Args:
        claim: what is claimed, with its margin.
        baseline, method, control: [seeds][items] in the claim's unit, the same items for all.

    Returns:
        An assessment that is the same for the same numbers. It is inconclusive for fewer than two seeds: then the
        interval cannot hold what another seed would change.
    """
    if not baseline:
        return Assessment(None, None, Verdict(Kind.INCONCLUSIVE, "Nothing was measured for this claim in this run."))
    effect = effect_of(claim, baseline, method)
    against = effect_of(claim, baseline, control) if control else None
    if len(baseline) < 2:
        why = f"{_measured(claim, effect)}; a single seed cannot show how much another one would differ."
        return Assessment(effect, against, Verdict(Kind.INCONCLUSIVE, why))
    return Assessment(effect, against, verdict(claim, effect, against))


def effect_of(claim: Claim, baseline: Rows, method: Rows) -> Interval:
    """Return the 95 % interval of the effect, oriented so that positive is as claimed."""
    statistic = "log_ratio" if claim.margin.ratio else "mean"
    change = paired_bootstrap(np.asarray(baseline), np.asarray(method), seed=0, statistic=statistic)
    if claim.better != "lower":
        return change
    return replace(change, estimate=-change.estimate, low=-change.high, high=-change.low)


def verdict(claim: Claim, effect: Interval, control: Interval | None = None) -> Verdict:
    """Judge a claim by the interval of its effect.

    higher, lower: supported if the whole interval reaches the margin; contradicted if the whole interval stays below
    it, so that an effect as large as the least that counts is excluded; else inconclusive.
    equal: supported if the interval lies within ±margin; contradicted if it lies wholly outside; else inconclusive.
    A claim whose control passes the same test is not supported, whatever the method shows.

    Args:
        claim: direction and margin.
        effect: positive as claimed; logarithms where the margin is a ratio.
        control: the same with the control in the method's place.
    """
    kind = _kind(claim, effect)
    why = f"{_measured(claim, effect)}; {_reading(claim, kind)}."
    if kind is Kind.SUPPORTED and control is not None and _kind(claim, control) is Kind.SUPPORTED:
        values, unit = amounts(claim, [control.estimate, control.low, control.high])
        value = f"{values[0]}{unit}, interval {values[1]} to {values[2]}"
        return Verdict(
            Kind.INCONCLUSIVE,
            f"{why[:-1]}. But the control passes as well ({value}), so the effect cannot be put down to the method.",
        )
    return Verdict(kind, why)


def threshold(claim: Claim) -> float:
    """Return the margin on the scale of the effect: itself, or its logarithm for a ratio."""
    return math.log(claim.margin.value) if claim.margin.ratio else claim.margin.value


def _kind(claim: Claim, effect: Interval) -> Kind:
    margin = threshold(claim)
    if claim.better == "equal":
        inside = -margin <= effect.low and effect.high <= margin
        outside = effect.high < -margin or effect.low > margin
        return Kind.SUPPORTED if inside else Kind.CONTRADICTED if outside else Kind.INCONCLUSIVE
    if effect.low >= margin:
        return Kind.SUPPORTED
    return Kind.CONTRADICTED if effect.high < margin else Kind.INCONCLUSIVE


def _measured(claim: Claim, effect: Interval) -> str:
    """Return what was measured as the first half of a sentence."""
    (_, low, high), unit = amounts(claim, [effect.estimate, effect.low, effect.high])
    level = number(100 * effect.level)
    if claim.better == "equal":
        (value, *_), _ = amounts(claim, [effect.estimate, effect.low, effect.high])
        start = (
            f"The method is {value} times the baseline" if claim.margin.ratio else f"The difference is {value}{unit}"
        )
        return f"{start} ({level} % interval {low} to {high})"
    as_claimed = effect.estimate >= 0
    (size, *_), _ = amounts(claim, [abs(effect.estimate), effect.low, effect.high])
    direction = claim.better if as_claimed else {"higher": "lower", "lower": "higher"}[claim.better]
    by = f"a factor of {size}" if claim.margin.ratio else f"{size}{unit}"
    of = "" if as_claimed else " of the effect claimed"
    return f"The method is {direction} by {by} ({level} % interval{of} {low} to {high})"


def _reading(claim: Claim, kind: Kind) -> str:
    """Return how the interval lies beside the margin, as the second half of a sentence."""
    value = claim.margin.value * (100 if claim.unit == "points" else 1)
    unit = "" if claim.margin.ratio else " points" if claim.unit == "points" else f" {claim.unit}"
    if claim.better == "equal":
        bound = f"a factor of {number(value)} either way" if claim.margin.ratio else f"±{number(value)}{unit}"
        return {
            Kind.SUPPORTED: f"the whole interval lies within {bound}, which counts as equal",
            Kind.CONTRADICTED: f"the whole interval lies outside {bound}, so the two are not equal",
            Kind.INCONCLUSIVE: f"the interval lies partly within and partly outside {bound}",
        }[kind]
    least = f"a factor of {number(value)}" if claim.margin.ratio else f"{number(value)}{unit}"
    return {
        Kind.SUPPORTED: f"the whole interval reaches the least effect that counts, {least}",
        Kind.CONTRADICTED: f"the least effect that counts, {least}, is excluded",
        Kind.INCONCLUSIVE: f"the interval holds effects below and above the least that counts, {least}",
    }[kind]
