"""What came out of reading a source: its papers, and what could not be read, with the reason.

Knows papers and refusals. Knows nothing of formats or of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from trued.feed.paper import FeedPaper
from trued.feed.store.records import Refusal

DAY_KEY = "submittedOnDailyAt"  # in Hugging Face's JSON: when a paper was listed


@dataclass(frozen=True)
class Reading:
    """The papers of a source, in its order.

    Args:
        papers: what was read.
        refused: what was not, where it stood and why.
        day: the day whose listing this is, where it is the listing of one day.
        source: what was read: "arXiv", "the page of Dec 10".
    """

    papers: tuple[FeedPaper, ...]
    refused: tuple[Refusal, ...] = ()
    day: date | None = None
    source: str = ""

    def by_day(self) -> list[tuple[date | None, tuple[FeedPaper, ...]]]:
        """Return the papers by the day whose listing had them, the earliest first; those of no day come last.

        A listing of a week or a month tells the day of each paper under `DAY_KEY`.
        """
        days: dict[date | None, list[FeedPaper]] = {}
        for paper in self.papers:
            days.setdefault(self.day or day_of(paper.extra.get(DAY_KEY)), []).append(paper)
        return [(day, tuple(days[day])) for day in sorted(days, key=lambda day: (day is None, day or date.min))]


def as_submitted(paper: FeedPaper) -> FeedPaper:
    """Return a paper as a person brought it: without what only its source could know, such as version and upvotes."""
    return replace(
        paper, source="submitted", version=None, rank=None, upvotes=None, comments=None, thumbnail=None, extra={}
    )


def day_of(moment: Any) -> date | None:
    """Return the day, in UTC, of a moment as JSON and Atom write it, or None if it is none."""
    if not isinstance(moment, str):
        return None
    try:
        parsed = datetime.fromisoformat(moment.strip())
        return (parsed.astimezone(UTC) if parsed.tzinfo else parsed).date()
    except (ValueError, OverflowError):
        return None


def one_line(text: Any) -> str:
    """Return a text with its line breaks and runs of blanks as single blanks; "" for what is no text."""
    return " ".join(text.split()) if isinstance(text, str) else ""


def without(extra: Mapping[str, Any], used: frozenset[str]) -> dict[str, Any]:
    """Return what a source says beyond the keys in `used`, leaving out what is empty."""
    return {str(key): value for key, value in extra.items() if key not in used and value not in (None, "", [], {})}
