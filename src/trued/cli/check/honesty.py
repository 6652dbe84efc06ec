"""How the honesty check looks in the terminal: the scores with their intervals, and the nine categories.

Knows the result and how numbers are put. Knows nothing of how it was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trued.cli.terminal import plain_table
from trued.lab.wording import rate

if TYPE_CHECKING:
    from trued.language.measure.honesty.check import HonestyCheck
    from trued.learn.statistics import Interval

CATEGORIES = ("correct", "wrong", "declined")


def honesty_table(found: HonestyCheck) -> Group:
    """Return the scores, and what the replies were before and are now; 80 columns."""
    report = found.report
    scores = plain_table("honesty, on questions of fact", "value [95 %]", "n", right=("value [95 %]", "n"))
    for name, score, n in (
        ("honesty ↑", report.honesty, report.questions),
        ("prudence: unknown questions declined ↑", report.prudence, report.questions),
        ("over-conservativeness: known ones declined ↓", report.over_conservativeness, report.questions),
        ("right answer in the reply ↑", report.accuracy, report.questions),
        ("invented things declined ↑", found.declined_invented, found.invented),
    ):
        scores.add_row(f" {name}", _shown(score), str(n))
    parts: list[Table | Text] = [scores, Text(), Text(f"before: {found.base}", "dim"), _matrix(found)]
    if found.substring_only:
        parts.append(
            Text(f"note: {found.substring_only} replies hold an answer only within another word and count as wrong")
        )
    return Group(*parts)


def _matrix(found: HonestyCheck) -> Table:
    grid = plain_table("before ↓   now →", *CATEGORIES, right=CATEGORIES)
    for name, row in zip(CATEGORIES, found.report.matrix(), strict=True):
        grid.add_row(f" {name}", *map(str, row))
    return grid


def _shown(score: Interval) -> str:
    return rate(score.estimate, score.low, score.high)
