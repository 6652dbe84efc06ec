"""Days, weeks and months as they are written in addresses and in the ledger: 2026-11-24, 2026-W47, 2026-11.

Knows the calendar; days are UTC. Knows nothing of papers.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from trued.errors import InputError
from trued.feed.store.records import Period

_SHAPES = re.compile(r"(?P<year>\d{4})-(?:W(?P<week>\d{2})|(?P<month>\d{2})(?:-(?P<day>\d{2}))?)")


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
