"""Days, ISO weeks and months as addresses, options and the ledger write them: 2026-11-24, 2026-W47, 2026-11.

Knows the calendar; days are UTC. Knows nothing of papers.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from trued.errors import InputError
from trued.feed.store.records import Period

Kind = Literal["day", "week", "month"]
EXAMPLES: dict[Kind, str] = {"day": "2026-11-24", "week": "2026-W47", "month": "2026-11"}
_SHAPES = re.compile(r"(?P<year>\d{4})-(?:W(?P<week>\d{2})|(?P<month>\d{2})(?:-(?P<day>\d{2}))?)", re.ASCII)


@dataclass(frozen=True)
class Span:
    """Some whole days.

    Args:
        key: how it is written.
        first, last: its days, both within.
    """

    key: str
    first: date
    last: date

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        return "week" if "W" in self.key else "day" if len(self.key) == 10 else "month"

    @property
    def heading(self) -> str:
        """How a heading names it."""
        if self.kind == "day":
            return f"{self.first.day} {self.first:%B %Y}"
        week = self.first.isocalendar()
        return f"{self.first:%B %Y}" if self.kind == "month" else f"Week {week.week}, {week.year}"

    @property
    def since(self) -> datetime:
        """The moment it begins."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def before(self) -> datetime:
        """The moment it is over."""
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    def __str__(self) -> str:
        first, last = self.first, self.last
        if first == last:
            return f"{first:%B} {first.day}, {first.year}"
        year = "" if first.year == last.year else f", {first.year}"
        return f"{first:%B} {first.day}{year} to {last:%B} {last.day}, {last.year}"


def span_of(key: str) -> Span:
    """Read a day, an ISO week or a month.

    Raises:
        InputError: `key` is none of them, or no calendar has it.
    """
    match = _SHAPES.fullmatch(key)
    try:
        if match and match["week"]:
            first = date.fromisocalendar(int(match["year"]), int(match["week"]), 1)
            return Span(key, first, first + timedelta(days=6))
        if match and match["day"]:
            return Span(key, date.fromisoformat(key), date.fromisoformat(key))
        if match:
            year, month = int(match["year"]), int(match["month"])
            first = date(year, month, 1)
            return Span(key, first, first.replace(day=monthrange(year, month)[1]))
    except (ValueError, OverflowError):
        pass
    raise InputError(f"{key[:40]!r} is no day, week or month; write 2026-11-24, 2026-W47 or 2026-11")


def read_span(kind: Kind, key: str, name: str | None = None) -> Span:
    """Read a span of one kind.

    Args:
        name: what to call it in an error, such as an option; its kind if None.

    Raises:
        InputError: `key` is none of this kind.
    """
    try:
        span = span_of(key)
    except InputError:
        span = None
    if span is None or span.kind != kind:
        raise InputError(f"{name or kind} {key[:40]!r} is no {kind}; write it as {EXAMPLES[kind]}")
    return span


def read_day(text: str | None, name: str) -> date | None:
    """Read a day, or None for none.

    Args:
        name: what to call it in an error, such as an option.

    Raises:
        InputError: the text is no day.
    """
    return None if text is None else read_span("day", text, name).first


def around(kind: Kind, of: date) -> Span:
    """Return the day, ISO week or month that a day lies in."""
    if kind == "day":
        return day(of)
    return week(of) if kind == "week" else span_of(f"{of:%Y-%m}")


def day(of: date) -> Span:
    """Return one day."""
    return Span(of.isoformat(), of, of)


def week(of: date) -> Span:
    """Return the ISO week that a day lies in, Monday to Sunday."""
    year, number, weekday = of.isocalendar()
    first = of - timedelta(days=weekday - 1)
    return Span(f"{year:04}-W{number:02}", first, first + timedelta(days=6))


def last_complete(period: Period, now: datetime) -> Span:
    """Return the last day, or the last week, that is over at `now`."""
    today = now.astimezone(UTC).date()
    return day(today - timedelta(days=1)) if period == "daily" else week(today - timedelta(days=7))
