"""Dates of which only the year or the month is known: how they are noted on a paper, and how they are written.

`FeedPaper.published` is a whole day, by which papers are sorted and filtered. Where a source told less, that day is the
first of the month or year, `date_inferred` is set, and `extra` notes how much was told, with the day that the note is
of: when a better date replaces that day, the note no longer counts.

Knows papers and calendar dates. Knows nothing of sources or formats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from trued.feed.paper import FeedPaper

Precision = Literal["day", "month", "year"]

NOTE = "date_precision"
"""The key in `FeedPaper.extra`."""

_REDUCED = re.compile(r"(\d{4})(?:[-/](\d{1,2}))?(?:[-/](\d{1,2}))?(?!\d)")


def first_day(year: int, month: int | None = None, day: int | None = None) -> tuple[date, Precision] | None:
    """Return the first day that fits, and how much of it is known; a month or day that does not exist is unknown."""
    try:
        if month and day:
            return date(year, month, day), "day"
    except ValueError:
        day = None
    try:
        return (date(year, month, 1), "month") if month else (date(year, 1, 1), "year")
    except ValueError:
        return (date(year, 1, 1), "year") if 1 <= year <= 9999 else None


def reduced(text: str) -> tuple[date, Precision] | None:
    """Return the first day that fits a date such as 2020, 2020-05 or 2020/05/24, and how much of it is told."""
    match = _REDUCED.match(text.strip())
    return first_day(*(int(part) if part else None for part in match.groups())) if match else None  # type: ignore[arg-type]


def note(known: tuple[date, Precision] | None) -> dict[str, Any]:
    """Return what goes into a paper's `extra`: nothing where the day is known."""
    if known is None or known[1] == "day":
        return {}
    return {NOTE: {"published": known[0].isoformat(), "known": known[1]}}


def precision(paper: FeedPaper) -> Precision:
    """Return how much of a paper's date its sources told."""
    told = paper.extra.get(NOTE)
    if paper.published and paper.date_inferred and isinstance(told, Mapping):
        known = told.get("known")
        if told.get("published") == paper.published.isoformat() and known in ("month", "year"):
            return known
    return "day"


def date_text(paper: FeedPaper) -> str:
    """Return what is known of a paper's date, as ISO 8601 writes it: 2020-05-24, 2020-05, 2020, or ""."""
    if paper.published is None:
        return ""
    return paper.published.isoformat()[: {"day": 10, "month": 7, "year": 4}[precision(paper)]]


def date_words(paper: FeedPaper) -> str:
    """Return what is known of a paper's date as people write it: 24 May 2024, May 2024, 2024, or ""."""
    day = paper.published
    if day is None:
        return ""
    return {"day": f"{day.day} {day:%b} {day.year}", "month": f"{day:%b} {day.year}", "year": str(day.year)}[
        precision(paper)
    ]
