"""A view of the feed: which papers, in which order, which page; read from an address and written back into one.

Knows days, weeks, months, filters and query strings. Knows nothing of requests, databases or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from trued.errors import InputError
from trued.feed.store.records import Filters, Order
from trued.papers.card import Field
from trued.papers.catalogue import State

PAGE_SIZE = 50
LAST_PAGE = 10_000
Kind = Literal["day", "week", "month"]
FIELDS: tuple[str, ...] = get_args(Field)
STATES: tuple[str, ...] = get_args(State)
ORDERS: tuple[str, ...] = get_args(Order)
VERDICTS = ("supported", "contradicted", "inconclusive")


@dataclass(frozen=True)
class Period:
    """A day, an ISO week or a month.

    Attributes:
        kind: which of them.
        first: its first day.
    """

    kind: Kind
    first: date

    @classmethod
    def around(cls, kind: Kind, day: date) -> Period:
        """Return the day, week or month that holds `day`."""
        back = {"day": 0, "week": day.weekday(), "month": day.day - 1}[kind]
        return cls(kind, day - timedelta(back))

    @classmethod
    def read(cls, kind: Kind, text: str) -> Period:
        """Return the period that `2025-12-10`, `2025-W50` or `2025-12` names.

        Raises:
            InputError: it names none.
        """
        shape, example = _SHAPES[kind]
        match = shape.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            year, number = int(match[1]), int(match[2])
            if kind == "week":
                return cls(kind, date.fromisocalendar(year, number, 1))
            return cls(kind, date(year, number, int(match[3]) if kind == "day" else 1))
        except ValueError:
            raise InputError(f"{kind}={text[:40]!r} is no {kind}; write it as {example}") from None

    @property
    def last(self) -> date:
        """Its last day."""
        if self.kind == "month":
            return (self.first.replace(day=28) + timedelta(4)).replace(day=1) - timedelta(1)
        return self.first + timedelta(6 if self.kind == "week" else 0)

    @property
    def name(self) -> str:
        """How addresses name it."""
        if self.kind == "week":
            year, week, _ = self.first.isocalendar()
            return f"{year:04d}-W{week:02d}"
        return self.first.isoformat()[: 7 if self.kind == "month" else 10]

    @property
    def words(self) -> str:
        """How a heading names it."""
        if self.kind == "day":
            return f"{self.first.day} {self.first:%B %Y}"
        week = self.first.isocalendar()
        return f"{self.first:%B %Y}" if self.kind == "month" else f"Week {week.week}, {week.year}"


@dataclass(frozen=True)
class View:
    """What an address asks for.

    Attributes:
        order: of the papers.
        period: or None for all of them.
        filters: those that the address sets; the period's days are added by `wanted`.
        unread: only what the person who asks has not read.
        page: from 1.
    """

    order: Order = "rank"
    period: Period | None = None
    filters: Filters = field(default_factory=Filters)
    unread: bool = False
    page: int = 1

    @property
    def offset(self) -> int:
        """How many papers come before this page."""
        return (self.page - 1) * PAGE_SIZE

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return self.unread or self.filters != Filters()

    def wanted(self, person: str | None) -> Filters:
        """Return the filters for the store, with the period's days, and the reader where only unread papers count."""
        found = self.filters
        if self.period is not None:
            found = replace(found, since=self.period.first, until=self.period.last)
        return replace(found, unread_by=person) if self.unread and person else found

    def query(self, **changes: Any) -> str:
        """Return the query string of this view with some of it changed; what is None or empty is left out."""
        filters = self.filters
        known = {
            "order": self.order if self.order != "rank" or self.period is None else None,
            self.period.kind if self.period else "day": self.period.name if self.period else None,
            "field": filters.field, "state": filters.state, "verdict": filters.verdict, "tag": filters.tag,
            "has_code": 1 if filters.has_code else None, "unread": 1 if self.unread else None,
            "min_upvotes": filters.min_upvotes, "page": None,
        }  # fmt: skip
        return urlencode({key: value for key, value in {**known, **changes}.items() if value not in (None, "", 0)})


def read_view(query: Mapping[str, str]) -> View:
    """Return the view that a query string asks for; what it does not know is left alone.

    Raises:
        InputError: a value that is none of those allowed; the sentence names it and them.
    """
    periods = [Period.read(kind, query[kind]) for kind in get_args(Kind) if query.get(kind)]
    if len(periods) > 1:
        raise InputError(f"{' and '.join(p.kind for p in periods)} are both set; ask for one of them")
    order: Any = _choice(query, "order", ORDERS) or "rank"
    state: Any = _choice(query, "state", STATES)
    filters = Filters(
        field=_choice(query, "field", FIELDS), state=state, verdict=_choice(query, "verdict", VERDICTS),
        tag=query.get("tag", "")[:40].replace("\0", "") or None, has_code=_truth(query, "has_code"),
        min_upvotes=_number(query, "min_upvotes", 0, 10**9),
    )  # fmt: skip
    page = _number(query, "page", 1, LAST_PAGE) or 1
    return View(order, periods[0] if periods else None, filters, _truth(query, "unread"), page)


_SHAPES = {
    "day": (re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII), "2025-12-10"),
    "week": (re.compile(r"(\d{4})-W(\d{2})", re.ASCII), "2025-W50"),
    "month": (re.compile(r"(\d{4})-(\d{2})", re.ASCII), "2025-12"),
}


def _choice(query: Mapping[str, str], key: str, allowed: tuple[str, ...]) -> str | None:
    value = query.get(key) or None
    if value is not None and value not in allowed:
        raise InputError(f"{key}={value[:40]!r} is not known; take one of {', '.join(allowed)}")
    return value


def _truth(query: Mapping[str, str], key: str) -> bool:
    return query.get(key, "").lower() in ("1", "true", "on", "yes")


def _number(query: Mapping[str, str], key: str, low: int, high: int) -> int | None:
    text = query.get(key, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and low <= int(text) <= high):
        raise InputError(f"{key}={text[:40]!r} does not fit; give a whole number from {low} to {high:,}")
    return int(text)
