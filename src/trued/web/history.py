"""A paper's claims over all its runs: one row a run and one chart a claim, so that a change in the code is seen.

Knows finished runs, their evidence and matplotlib's axes. Knows nothing of requests or HTML. Every run is shown with
the claim as it stood then; the chart's shaded part is what counts by the latest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import defer

from trued.errors import InputError
from trued.lab.evidence import from_json
from trued.lab.rows import claim_rows
from trued.lab.runs import RunRow, RunStore
from trued.lab.verdict import threshold
from trued.papers.card import Claim
from trued.web.progress import in_utc

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trued.learn.statistics import Interval

MOST = 30  # runs on a chart, the latest ones
MARKERS = {"tiny": ".", "desktop": "o", "full": "s"}


@dataclass(frozen=True)
class Outcome:
    """How one claim came out in one run.

    Attributes:
        run_id, started, scale, model: the run.
        effect: the interval as the claim is oriented, positive as claimed; of logarithms for a ratio.
        ours, interval, verdict: the same as text.
    """

    run_id: str
    started: datetime
    scale: str
    model: str
    effect: Interval
    ours: str
    interval: str
    verdict: str


@dataclass(frozen=True)
class History:
    """One claim over the runs that measured it, the earliest first."""

    claim: Claim
    outcomes: tuple[Outcome, ...]

    @property
    def alt(self) -> str:
        """What the chart shows, in a sentence."""
        count = len(self.outcomes)
        kinds = [outcome.verdict for outcome in self.outcomes]
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        return (
            f"Effect with its 95 % interval in {count} run{'s' if count != 1 else ''}: {counted}. "
            f"The latest: {self.outcomes[-1].ours} {self.outcomes[-1].interval}."
        )

    def svg(self) -> str:
        """Return the chart as an SVG document; drawn once."""
        return _drawn(self)


def histories(store: RunStore, slug: str) -> list[History]:
    """Return the claims of a paper that were measured, each with how it came out in the latest runs.

    Claims are in the order of the latest run's card; evidence that this version does not read is left out.
    """
    query = (
        select(RunRow).options(defer(RunRow.exhibits)).filter_by(slug=slug, status="finished")
        .order_by(RunRow.started.desc()).limit(MOST)
    )  # fmt: skip
    with store.session() as session:
        rows = session.scalars(query).all()
        session.expunge_all()
    claims: dict[str, Claim] = {}
    outcomes: dict[str, list[Outcome]] = {}
    for row in rows:
        for claim, outcome in _outcomes(row):
            claims.setdefault(claim.id, claim)
            outcomes.setdefault(claim.id, []).append(outcome)
    return [History(claims[id], tuple(reversed(series))) for id, series in outcomes.items()]


def draw(history: History) -> Callable[[Axes], None]:
    """Return what draws the chart: intervals side by side in the order of the runs, and where an effect counts."""
    return lambda ax: _draw(ax, history)


def _outcomes(row: RunRow) -> list[tuple[Claim, Outcome]]:
    try:
        evidence = from_json(row.evidence, f"run {row.id[:8]}")
    except InputError:
        return []
    pairs = []
    for line in claim_rows(evidence):
        effect = evidence.assessments[line.id].effect
        if effect is not None:
            outcome = Outcome(
                row.id, in_utc(row.started), row.scale, row.model, effect, line.ours, line.interval, line.verdict
            )
            pairs.append((evidence.claim(line.id), outcome))
    return pairs


@lru_cache(maxsize=128)
def _drawn(history: History) -> str:
    from trued.lab.figure import draw_svg

    return draw_svg(draw(history), width=6.4, height=2.6)


def _draw(ax: Axes, history: History) -> None:
    from trued.lab.figure import QUIET, SERIES

    claim, outcomes = history.claim, history.outcomes
    scale = _scale(claim)
    places = np.arange(len(outcomes))
    middle, low, high = (
        scale([getattr(outcome.effect, name) for outcome in outcomes]) for name in ("estimate", "low", "high")
    )
    margin = threshold(claim)
    nothing, counts = scale([0.0])[0], scale([margin])[0]
    if claim.better == "equal":
        ax.axhspan(scale([-margin])[0], counts, color=SERIES[2], alpha=0.12, linewidth=0)
    else:
        bottom, top = min(float(low.min()), nothing), max(float(high.max()), counts)
        ax.axhspan(counts, top + 0.08 * (top - bottom), color=SERIES[2], alpha=0.12, linewidth=0)
    ax.axhline(nothing, color=QUIET, linewidth=0.8)
    for name, marker in MARKERS.items():
        at = [i for i, outcome in enumerate(outcomes) if outcome.scale == name]
        if at:
            reach = np.abs(np.stack([middle - low, high - middle]))[:, at]
            ax.errorbar(places[at], middle[at], yerr=reach, fmt=marker, color=SERIES[0], capsize=2.5, label=name)
    ax.set_xticks(places, _days(outcomes))
    ax.set_xlim(-0.6, max(len(outcomes) - 0.4, 1.6))
    ax.set_ylabel(_axis(claim))
    if len({outcome.scale for outcome in outcomes}) > 1:
        ax.legend(loc="best")


def _scale(claim: Claim) -> Callable[[Sequence[float]], np.ndarray]:
    """Return effects as they are printed: ratios as ratios, shares as points."""
    if claim.margin.ratio:
        return lambda values: np.exp(np.asarray(values))
    return lambda values: np.asarray(values) * (100 if claim.unit == "points" else 1)


def _axis(claim: Claim) -> str:
    unit = "ratio" if claim.margin.ratio else claim.unit
    return f"effect, {unit}\n(0 is none)" if not claim.margin.ratio else "effect, ratio\n(1 is none)"


def _days(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a label a run: its day, and nothing where the day is the one before's."""
    days = [f"{outcome.started:%d %b}" for outcome in outcomes]
    return [day if i == 0 or day != days[i - 1] else "" for i, day in enumerate(days)]
