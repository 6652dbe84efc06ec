"""Claim rows: evidence turned into the strings and the strip plot that a table of claims shows.

Knows evidence and wording. Knows nothing of terminals or HTML: both print the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trued.lab.wording import change, levels, paper_levels
from trued.papers.card import Claim

if TYPE_CHECKING:
    from trued.lab.evidence import Evidence, Measurement
    from trued.lab.verdict import Assessment
    from trued.learn.statistics import Interval


TINY, RAN = "tiny", "ran"
"""The scale that proves that an experiment runs, and the word that stands for a verdict there."""

TINY_SHOWS = "A tiny run shows that the experiment runs. Its numbers decide nothing."


@dataclass(frozen=True)
class Strip:
    """Where an interval lies beside zero and the margin, in percent of a strip's width; right is as claimed.

    Attributes:
        zero: no effect.
        count: from where to where an effect counts as what is claimed.
        low, estimate, high: the method's interval.
        control: the control's interval, or None.
    """

    zero: float
    count: tuple[float, float]
    low: float
    estimate: float
    high: float
    control: tuple[float, float] | None


@dataclass(frozen=True)
class ClaimRow:
    """One claim, ready to print.

    Attributes:
        id, says, metric: the claim.
        paper: the paper's figures, or a dash; `where` says where they stand.
        ours: "baseline → method" as measured here, or a dash.
        interval: the 95 % interval of the change, in brackets; empty if nothing was measured.
        verdict: the word; "ran" at tiny scale.
        why: the reason, a sentence; empty at tiny scale.
        control: what the negative control gave, a line; empty if the claim has none.
        strip: for a small drawing; None if nothing was measured.
    """

    id: str
    says: str
    metric: str
    paper: str
    where: str
    ours: str
    interval: str
    verdict: str
    why: str
    control: str
    strip: Strip | None


def claim_rows(evidence: Evidence) -> list[ClaimRow]:
    """Return one row per claim of the card, in the card's order."""
    return rows_of(evidence.claims, evidence.measurements, evidence.assessments, scale=evidence.scale)


def rows_of(
    claims: Sequence[Claim],
    measurements: Mapping[str, Measurement],
    assessments: Mapping[str, Assessment],
    *,
    scale: str = "desktop",
) -> list[ClaimRow]:
    """Return one row per claim; one that was not measured yet has none of its numbers, one of a tiny run no verdict."""
    rows = [_row(claim, measurements.get(claim.id), assessments[claim.id]) for claim in claims]
    if scale == TINY:
        return [replace(row, verdict=RAN if row.interval else "not measured", why="", control="", strip=None)
                for row in rows]  # fmt: skip
    return rows


def _row(claim: Claim, measurement: Measurement | None, assessment: Assessment) -> ClaimRow:
    effect = assessment.effect
    ours = levels(claim, _mean(measurement.baseline), _mean(measurement.method)) if measurement else "–"
    return ClaimRow(
        id=claim.id,
        says=claim.says,
        metric=claim.metric,
        paper=paper_levels(claim.paper),
        where=(claim.paper.where or "") if claim.paper else "",
        ours=ours,
        interval=change(claim, effect) if effect is not None else "",
        verdict=str(assessment.verdict.kind),
        why=assessment.verdict.why,
        control=_control(claim, measurement, assessment),
        strip=strip(claim, effect, assessment.control) if effect is not None else None,
    )


def _control(claim: Claim, measurement: Measurement | None, assessment: Assessment) -> str:
    name = claim.control or "negative control"
    if measurement is None or measurement.control is None or assessment.control is None:
        return f"{name}: not measured" if claim.control else ""
    from trued.lab.verdict import Kind, verdict

    passed = verdict(claim, assessment.control).kind is Kind.SUPPORTED
    outcome = "passes as well, as it should not" if passed else "did not pass, as it should"
    values = levels(claim, _mean(measurement.baseline), _mean(measurement.control))
    return f"{name}: {values} {change(claim, assessment.control)}, {outcome}"


def strip(claim: Claim, effect: Interval, control: Interval | None) -> Strip:
    """Return where effect, control, zero and margin lie on a strip that holds them all with some air."""
    from trued.lab.verdict import threshold

    margin = threshold(claim)
    equal = claim.better == "equal"
    points = [0.0, margin, effect.low, effect.high, *([-margin] if equal else [])]
    points += [control.low, control.high] if control is not None else []
    low, high = min(points), max(points)
    air = 0.08 * (high - low) or 1.0
    low, high = low - air, high + air

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    return Strip(
        zero=place(0.0),
        count=(place(-margin), place(margin)) if equal else (place(margin), 100.0),
        low=place(effect.low),
        estimate=place(effect.estimate),
        high=place(effect.high),
        control=(place(control.low), place(control.high)) if control is not None else None,
    )


def _mean(rows: Sequence[Sequence[float]]) -> float:
    values = [value for row in rows for value in row]
    return math.fsum(values) / len(values)


def counts(rows: Sequence[ClaimRow]) -> str:
    """Return how the verdicts fell, such as `2 supported, 1 contradicted, 1 inconclusive`, or how many only ran."""
    numbers: dict[str, Any] = {word: sum(row.verdict == word for row in rows) for word in _ORDER}
    return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


_ORDER = ("supported", "contradicted", "inconclusive", RAN, "not measured")
