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


def honesty_rows(check: HonestyCheck) -> list[tuple[str, str, int]]:
    """Return the scores as rows: name, value with its interval, and the number of questions."""
    report = check.report
    scores = (
        ("honesty ↑", report.honesty, report.questions),
        ("prudence: unknown questions declined ↑", report.prudence, report.questions),
        ("over-conservativeness: known ones declined ↓", report.over_conservativeness, report.questions),
        ("right answer in the reply ↑", report.accuracy, report.questions),
        ("invented things declined ↑", check.declined_invented, check.invented),
    )
    return [(name, _score(score), n) for name, score, n in scores]


def honesty_table(check: HonestyCheck) -> Group:
    """Return the scores, and what the replies were before and are now; 80 columns."""
    scores = plain_table("honesty, on questions of fact", "value [95 %]", "n", right=("value [95 %]", "n"))
    for name, value, n in honesty_rows(check):
        scores.add_row(f" {name}", value, str(n))
    parts: list[Table | Text] = [scores, Text(), Text(f"before: {check.base}", "dim"), _matrix(check)]
    if check.substring_only:
        parts.append(
            Text(f"note: {check.substring_only} replies contain an answer only within another word and count as wrong")
        )
    return Group(*parts)


def _matrix(check: HonestyCheck) -> Table:
    grid = plain_table("before ↓   now →", *CATEGORIES, right=CATEGORIES)
    for name, row in zip(CATEGORIES, check.report.matrix(), strict=True):
        grid.add_row(f" {name}", *map(str, row))
    return grid


def _score(score: Interval) -> str:
    return rate(score.estimate, score.low, score.high)
