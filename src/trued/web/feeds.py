"""Feeds and exports of any listing or search: /feed.atom, /feed.rss, /feed.json, /export.bib and its like.

Knows query strings and conditional requests (RFC 9110, Section 13). Knows nothing of formats, which are written in
`trued.feed`. A feed's address contains its whole choice of papers, so whatever a page shows can be subscribed to.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response

from trued.errors import InputError
from trued.feed.export.formats import FORMATS, Exported, Format, export
from trued.feed.mail.settings import public_url
from trued.feed.search.selection import Match, Selection, Sorting
from trued.feed.spans import span_of
from trued.feed.store.records import Filters
from trued.feed.syndication import formats as syndication
from trued.papers.card import Field
from trued.papers.catalogue import State
from trued.web.accounts import Person, visitor
from trued.web.security import search_limited

router = APIRouter(include_in_schema=False, dependencies=[Depends(search_limited)])
Verdict = Literal["supported", "contradicted", "inconclusive"]
Span = Annotated[str | None, Query(max_length=10)]
_FORMATS: dict[str, Format] = {kind.suffix: name for name, kind in FORMATS.items()}


def selection(
    request: Request,
    q: Annotated[str, Query(max_length=400)] = "",
    order: Sorting = "new",
    mode: Match = "all",
    field: Field | None = None,
    state: State | None = None,
    verdict: Verdict | None = None,
    tag: Annotated[str | None, Query(max_length=40)] = None,
    has_code: bool = False,
    min_upvotes: Annotated[int | None, Query(ge=0, le=2**31)] = None,
    since: date | None = None,
    until: date | None = None,
    date: Span = None,
    day: Span = None,
    week: Span = None,
    month: Span = None,
    limit: Annotated[int, Query(ge=1, le=400)] = 50,
) -> Selection:
    """Return the choice of papers that an address names. Tags are those of whoever is signed in.

    Raises:
        InputError: a day, week or month that is none.
    """
    if written := date or day or week or month:
        span = span_of(written)
        since, until = max(since or span.first, span.first), min(until or span.last, span.last)
    filters = Filters(
        since=since, until=until, field=field, state=state, verdict=verdict, tag=tag, has_code=has_code,
        min_upvotes=min_upvotes,
    )  # fmt: skip
    return Selection(q, order, mode, filters, limit, visitor(request).person or "")


Asked = Annotated[Selection, Depends(selection)]


@router.get("/feed.{syntax}")
def feed(request: Request, selection: Asked, syntax: Annotated[str, Path(max_length=10)]) -> Response:
    """Return a feed, or 304 to whoever has it already."""
    if syntax not in syndication.MEDIA_TYPES:
        raise HTTPException(404, f"there is no feed.{syntax}; there are feed.atom, feed.rss and feed.json")
    base, query = _base(request), f"?{request.url.query}" if request.url.query else ""
    home = f"{base}/search{query}" if selection.q.strip() else f"{base}/{query}"
    channel = syndication.Channel(selection.title, home, f"{base}/feed.{syntax}{query}")
    rendered = syndication.render(selection.papers(request.app.state.store), channel, syntax)
    headers = {
        "ETag": rendered.etag,
        "Last-Modified": format_datetime(rendered.modified.astimezone(UTC), usegmt=True),
        "Cache-Control": "private, no-cache" if selection.filters.tag or "tag:" in selection.q else "no-cache",
    }
    if is_known(request, rendered.etag, rendered.modified if selection.grows_by_changes else None):
        return Response(status_code=304, headers=headers)
    # A feed is read by programs of another origin, and by readers in a browser.
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return Response(rendered.body, media_type=f"{rendered.media_type}; charset=utf-8", headers=headers)


@router.get("/export.{suffix}")
def exported(request: Request, selection: Asked, suffix: Annotated[str, Path(max_length=10)]) -> Response:
    """Return papers as a file in one of the formats."""
    return _file(export(selection.papers(request.app.state.store), _format(suffix)), "papers")


@router.get("/papers/{uid:int}.{suffix}")
def exported_paper(
    request: Request, uid: Annotated[int, Path(ge=1, le=2**53)], suffix: Annotated[str, Path(max_length=10)]
) -> Response:
    """Return one paper as a file in one of the formats."""
    format = _format(suffix)
    try:
        stored = request.app.state.store.get(uid)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    return _file(export([stored], format), stored.paper.arxiv or f"paper-{uid}")


@router.get("/queries.opml")
def queries(request: Request, person: Person) -> Response:
    """Return the searches that a person keeps, each as its feed, for a feed reader to import."""
    text = syndication.opml(request.app.state.store.saved_queries(person), _base(request))
    disposition = {"Content-Disposition": 'attachment; filename="queries.opml"', "Cache-Control": "private, no-cache"}
    return Response(text, media_type="text/x-opml; charset=utf-8", headers=disposition)


def is_known(request: Request, etag: str, modified: datetime | None) -> bool:
    """Tell whether the one who asks has it already, by its ETag or, where none is given, by date.

    Args:
        modified: the last change, or None where a date says nothing.
    """
    match = request.headers.get("if-none-match")
    if match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in match.split(",")]
        return etag in tags or match.strip() == "*"
    given = request.headers.get("if-modified-since")
    if given is None or modified is None:
        return False
    try:
        since = parsedate_to_datetime(given)
    except ValueError:
        return False  # RFC 9110: a date that is none is passed over
    return modified <= (since if since.tzinfo else since.replace(tzinfo=UTC))


def _base(request: Request) -> str:
    """Return the page's address as its readers know it; the request's Host header could be made up."""
    return public_url() or request.app.state.settings.url


def _format(suffix: str) -> Format:
    if suffix not in _FORMATS:
        raise HTTPException(404, f"there is no format .{suffix}; there are .{', .'.join(_FORMATS)}")
    return _FORMATS[suffix]


def _file(made: Exported, name: str) -> Response:
    name = re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)
    disposition = f'attachment; filename="{name}.{made.suffix}"'
    return Response(
        made.text, media_type=f"{made.media_type}; charset=utf-8", headers={"Content-Disposition": disposition}
    )  # fmt: skip
