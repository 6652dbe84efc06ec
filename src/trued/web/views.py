"""A view of the feed: which papers, in which order, which page; read from an address and written back into one.

Knows days, weeks, months, filters and query strings. Knows nothing of requests, databases or HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args
from urllib.parse import urlencode

from trued.errors import InputError
from trued.feed.spans import Kind, Span, read_span
from trued.feed.store.records import Filters, Order
from trued.papers.card import Field
from trued.papers.catalogue import State

PAGE_SIZE = 50
LAST_PAGE = 10_000
FIELDS: tuple[str, ...] = get_args(Field)
STATES: tuple[str, ...] = get_args(State)
ORDERS: tuple[str, ...] = get_args(Order)
NO_FILTERS = dict.fromkeys(
    ("field", "state", "verdict", "tag", "has_code", "category", "min_upvotes", "unread", "page")
)  # fmt: skip
VERDICTS = ("supported", "contradicted", "inconclusive")


@dataclass(frozen=True)
class View:
    """What an address selects.

    Attributes:
        order: of the papers.
        period: or None for all of them.
        filters: those that the address sets; the period's days are added by `wanted`.
        unread: only what the person who asks has not read.
        page: from 1.
    """

    order: Order = "rank"
    period: Span | None = None
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
        return bool(self.active)

    @property
    def active(self) -> tuple[str, ...]:
        """The filters that are set, each in a few words."""
        filters = self.filters
        words = [filters.field, filters.state, filters.verdict, filters.tag, filters.category]
        words += [f"≥ {filters.min_upvotes} upvotes"] if filters.min_upvotes is not None else []
        words += ["with code"] if filters.has_code else []
        return tuple(word for word in (*words, "unread" if self.unread else None) if word)

    def wanted(self, person: str | None) -> Filters:
        """Return the filters for the store, with the period's days, and the reader where only unread papers count."""
        filters = self.filters
        if self.period is not None:
            filters = replace(filters, since=self.period.first, until=self.period.last)
        return replace(filters, unread_by=person) if self.unread and person else filters

    def query(self, **changes: Any) -> str:
        """Return the query string of this view with some of it changed; what is None or empty is left out."""
        filters = self.filters
        known = {
            "order": self.order if self.order != "rank" or self.period is None else None,
            self.period.kind if self.period else "day": self.period.key if self.period else None,
            "field": filters.field, "state": filters.state, "verdict": filters.verdict, "tag": filters.tag,
            "has_code": 1 if filters.has_code else None, "unread": 1 if self.unread else None,
            "category": filters.category, "min_upvotes": filters.min_upvotes, "page": None,
        }  # fmt: skip
        return urlencode({key: value for key, value in {**known, **changes}.items() if value not in (None, "", 0)})


def read_view(query: Mapping[str, str]) -> View:
    """Return the view of a query string; what it does not know is left alone.

    Raises:
        InputError: a value that is none of those allowed; the sentence names it and them.
    """
    periods = [read_span(kind, query[kind]) for kind in get_args(Kind) if query.get(kind)]
    if len(periods) > 1:
        raise InputError(f"{' and '.join(p.kind for p in periods)} are both set; ask for one of them")
    order: Any = _choice(query, "order", ORDERS) or "rank"
    state: Any = _choice(query, "state", STATES)
    filters = Filters(
        field=_choice(query, "field", FIELDS), state=state, verdict=_choice(query, "verdict", VERDICTS),
        tag=query.get("tag", "")[:40].replace("\0", "") or None, has_code=_truth(query, "has_code"),
        category=query.get("category", "").strip()[:20].replace("\0", "") or None,
        min_upvotes=_number(query, "min_upvotes", 0, 10**9),
    )  # fmt: skip
    page = _number(query, "page", 1, LAST_PAGE) or 1
    return View(order, periods[0] if periods else None, filters, _truth(query, "unread"), page)


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
