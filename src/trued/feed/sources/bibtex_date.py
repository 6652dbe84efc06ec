"""When a BibTeX entry says that its paper came out: months in every spelling, ranges, and days that do not exist.

Knows the fields date, year, month and day. Knows nothing of the other fields.
"""

from __future__ import annotations

import re
from calendar import month_name
from collections.abc import Mapping
from datetime import date

from trued.feed.dates import Precision, first_day, reduced

_MONTHS = [name.lower() for name in month_name]
_PART = re.compile(r"[^\W\d_]+|\d+")


def published(fields: Mapping[str, str]) -> tuple[date, Precision] | None:
    """Return the first day that fits what an entry says, and how much of that it says; None without a year.

    Of a range its beginning counts: of Sep--Oct September, of "June 7--12" June.
    """
    if known := reduced(fields.get("date", "").strip("{} ")):
        return known
    year = re.search(r"(?<!\d)\d{4}(?!\d)", fields.get("year", "") or fields.get("date", ""))
    if year is None:
        return None
    month, day = _month(fields.get("month", ""))
    own_day = re.fullmatch(r"\W*(\d{1,2})\W*", fields.get("day", ""))
    return first_day(int(year[0]), month, int(own_day[1]) if own_day else day)


def _month(text: str) -> tuple[int | None, int | None]:
    """Return the month that a text names first, and the day, where it has one and no range of days."""
    parts = _PART.findall(text)
    numbers = [int(part) for part in parts if part.isdecimal() and len(part) <= 2]
    for part in parts:
        if month := _number(part.lower()):
            return month, numbers[0] if len(numbers) == 1 and 1 <= numbers[0] <= 31 else None
    return (numbers[0], None) if numbers and 1 <= numbers[0] <= 12 and parts[0].isdecimal() else (None, None)


def _number(word: str) -> int | None:
    if len(word) < 3:
        return None
    word = "sep" if word == "sept" else word
    return next((number for number, name in enumerate(_MONTHS) if name.startswith(word)), None)
