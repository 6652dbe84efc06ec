"""Dates as the page shows them: an English month, a day, the year only if it is not the page's own, perhaps a count.

Knows how to read them and how to work out a year that is not shown. Knows nothing of entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = {name: month for month, full in enumerate(_MONTHS, start=1) for name in (full, full[:3])} | {"sept": 9}
# "Apr 4 2" is 4 April with the count 2: a year stands behind a comma only, and a day has at most two digits.
_DATE = re.compile(
    r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2})(?:, ?(?P<year>\d{4}))?(?: (?P<count>[\d.,]+ ?[kKmM]?))?"
)
_COUNT = re.compile(r"(?P<number>\d{1,9}|\d{1,3}(?:,\d{3}){1,2}|\d{1,6}\.\d)(?: ?(?P<unit>[kKmM]))?")
_UNIT = {None: 1, "k": 1_000, "m": 1_000_000}
_LEAP = 2000  # a year that has a 29 February


@dataclass(frozen=True)
class YearlessDate:
    """A date on the page; `year` and `count` are None where it shows none."""

    month: int
    day: int
    year: int | None
    count: int | None
    line: int
    text: str

    def in_year(self, year: int) -> date | None:
        """Return the day in its own year, or else in `year`; None if there is no such day."""
        try:
            return date(self.year or year, self.month, self.day)
        except ValueError:
            return None

    def on_page(self, year: int, last: date) -> date | None:
        """Return the day on a page of `year`, or None if there is no such day up to `last`.

        Args:
            last: the page's own day, or the present one; a day without a year that is more than one later is of the
                year before.
        """
        day = self.in_year(year)
        if self.year is None and day and day > last + timedelta(days=1):
            return self.in_year(year - 1)
        return day


def parse_date(text: str, line: int = 0) -> YearlessDate | None:
    """Return the date that a line shows, with its count, or None if it is no date."""
    match = _DATE.fullmatch(text)
    month = _MONTH.get(match["month"].lower()) if match else None
    if match is None or month is None:
        return None
    count = parse_count(match["count"]) if match["count"] else None
    if match["count"] and count is None:
        return None
    day, year = int(match["day"]), int(match["year"]) if match["year"] else None
    parsed = YearlessDate(month, day, year, count, line, text)
    return parsed if parsed.in_year(_LEAP) else None


def parse_count(text: str) -> int | None:
    """Return the number that "12", "1,234", "1.2k" or "3M" stands for, or None."""
    match = _COUNT.fullmatch(text.strip())
    if match is None or ("." in match["number"] and not match["unit"]):
        return None
    return round(float(match["number"].replace(",", "")) * _UNIT[match["unit"].lower() if match["unit"] else None])


def page_year_of(dates: Iterable[YearlessDate], page_date: YearlessDate | None, today: date | None = None) -> int:
    """Return the year of a page from what it shows: its own year is the one that it leaves out.

    No year is inferred that puts the page after today: a date that no recent year has is a mistake in that one date.

    Args:
        dates: all dates of the page.
        page_date: the page's own date, if it has one.
        today: the present day; by the clock if None.
    """
    dates = list(dates)
    if page_date is not None and page_date.year is not None:
        return page_date.year
    today = today or datetime.now(UTC).date()
    own = page_date.in_year(today.year) if page_date else None
    latest = today.year - 1 if own and own > today + timedelta(days=1) else today.year
    explicit = [shown_date.year for shown_date in dates if shown_date.year is not None and shown_date.year <= latest]
    if not explicit:
        return latest
    # A 29 February without a year tells that the page's year has one, if there has been such a year since.
    first = min(max(explicit) + 1, latest)
    yearless = [shown_date for shown_date in dates if shown_date.year is None]
    return next((y for y in range(first, latest + 1) if all(day.in_year(y) for day in yearless)), first)
