"""The feed, day by day or in another order, and the search over all of it.

Knows requests, views and the store. Knows nothing of how papers are ranked or found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from trued.feed.paper_store import PaperStore
from trued.feed.search.query import parse, words
from trued.feed.spans import Kind, Span, around
from trued.feed.store.records import Hit, Mode, Order
from trued.web.accounts import Person, visitor
from trued.web.paper_lists import Row, list_page, rows_of_hits
from trued.web.security import search_limited
from trued.web.views import PAGE_SIZE, View, read_view

MOST_HITS = 30
LAST_PAGE = 10  # of a search: beyond that nobody looks, and every page ranks all the ones before it
NOBODY = ""  # has no tags and has read nothing: the store's default person is the owner
TRENDING_SAYS = "Papers with many new upvotes and comments in the last days come first."
_KINDS: tuple[Kind, ...] = ("day", "week", "month")
_ORDERS: dict[Order, tuple[str, str]] = {
    "rank": ("All", "All papers"),
    "trending": ("Trending", "Trending papers"),
    "new": ("New", "Newest papers"),
    "upvotes": ("Upvotes", "Most upvoted papers"),
}
Sort = Literal["relevance", "new", "upvotes", "trending"]
SORTS: dict[str, Callable[[Hit], Any]] = {
    "new": lambda hit: -(hit.paper.shown or date.min).toordinal(),
    "upvotes": lambda hit: -hit.paper.upvotes,
    "trending": lambda hit: -hit.paper.trending,
}
router = APIRouter(include_in_schema=False)
Flag = Annotated[bool, Query()]


@router.get("/")
def feed(request: Request) -> Response:
    """Show the latest day's listing, or the papers that the address selects."""
    store: PaperStore = request.app.state.store
    person = visitor(request).person
    view, days = read_view(request.query_params), [day for day, _ in store.days()]
    if view.period is None and "order" not in request.query_params:
        latest, _ = store.listing("rank", limit=1)  # papers of no day's listing come last in this order
        if latest and latest[0].day is not None:
            view = replace(view, period=around("day", latest[0].day))
    items, total = store.listing(
        view.order, view.wanted(person), offset=view.offset, limit=PAGE_SIZE, person=person or NOBODY
    )
    rows = [Row(view.offset + i, item) for i, item in enumerate(items, 1)]
    earlier, later = _beside(view.period, days)
    values = {
        "view": view, "total": total, "pages": -(-total // PAGE_SIZE), "tabs": _tabs(view, days), "earlier": earlier,
        "later": later, "days": days, "heading": _heading(view),
        "trending_says": TRENDING_SAYS if view.order == "trending" else "",
    }  # fmt: skip
    return list_page(request, "feed.html", rows, **values)


@router.get("/search", dependencies=[Depends(search_limited)])
def search(
    request: Request, q: str = "", mode: Mode = "hybrid", sort: Sort = "relevance", explain: Flag = False,
    part: Flag = False,
) -> Response:  # fmt: skip
    """Show what a search finds. `part` returns the list alone, and reads the last word as the beginning of one."""
    store: PaperStore = request.app.state.store
    view, q = read_view(request.query_params), " ".join(q[:400].split())
    person = visitor(request).person
    hits: list[Hit] = []
    limit = MOST_HITS * min(view.page, LAST_PAGE)
    if q:
        search_text = as_typed(q) if part and mode == "keyword" else q
        hits = store.search(
            search_text, mode=mode, filters=view.wanted(person), k=limit + 1, explain=explain, person=person or NOBODY,
        )  # fmt: skip
    more = len(hits) > limit and view.page < LAST_PAGE
    hits = sorted(hits[:limit], key=SORTS[sort]) if sort != "relevance" else hits[:limit]
    address = {**dict(request.query_params), "page": str(view.page + 1)}
    address.pop("part", None)
    values = {
        "view": view, "q": q, "mode": mode, "sort": sort, "explain": explain,
        "more": urlencode(address) if more else "",
        "plain_q": " ".join(words(parse(q).text)) if q else "", "heading": q or "Search",
        "ignored": parse(q).ignored if q else (), "semantics": store.semantics,
    }  # fmt: skip
    return list_page(request, "_results.html" if part else "search.html", rows_of_hits(hits), **values)


@router.get("/papers/{uid:int}/similar", dependencies=[Depends(search_limited)])
def similar(request: Request, uid: int, order: str = "similarity") -> Response:
    """Show the papers nearest to one in meaning, by nearness, date or trend."""
    store: PaperStore = request.app.state.store
    if order not in ("similarity", "new", "trending"):
        return RedirectResponse(f"/papers/{uid}/similar", 303)
    hits = store.similar(uid, k=MOST_HITS, order=order)
    return list_page(
        request, "similar.html", rows_of_hits(hits), to=store.get(uid), order=order, semantics=store.semantics
    )


@router.get("/recommended", dependencies=[Depends(search_limited)])
def recommended(request: Request, person: Person, tag: str = "") -> Response:
    """Show recent papers that are like those under a tag."""
    store: PaperStore = request.app.state.store
    known = store.tags(person)
    hits = store.recommend(person, tag, k=MOST_HITS) if tag in known else []
    return list_page(request, "recommended.html", rows_of_hits(hits), tag=tag, known=known)


def as_typed(q: str) -> str:
    """Return a search whose last word may go on: `adversarial trai` also finds training."""
    last = q.rpartition(" ")[2]
    open_end = last[-1:].isalnum() and ":" not in last and q.count('"') % 2 == 0
    return f"{q}*" if open_end and len(last) > 1 else q


def _heading(view: View) -> str:
    return view.period.heading if view.period is not None else _ORDERS[view.order][1]


def _tabs(view: View, days: list[date]) -> list[tuple[str, str, bool]]:
    """Return name, address and whether it is the one that is shown, for each way through the feed."""
    at = view.period.first if view.period is not None else max(days, default=None)
    tabs = []
    for kind in _KINDS:
        if at is None:  # no paper has a day
            break
        query = replace(view, order="rank", period=around(kind, at)).query()
        tabs.append((kind.capitalize(), f"/?{query}", view.period is not None and view.period.kind == kind))
    for order, (name, _) in _ORDERS.items():
        query = replace(view, order=order, period=None).query()
        tabs.append((name, f"/?{query}", view.period is None and view.order == order))
    return tabs


def _beside(period: Span | None, days: list[date]) -> tuple[Span | None, Span | None]:
    """Return the nearest earlier and later period of the same kind that has papers."""
    if period is None:
        return None, None
    before = max((day for day in days if day < period.first), default=None)
    after = min((day for day in days if day > period.last), default=None)
    return before and around(period.kind, before), after and around(period.kind, after)
