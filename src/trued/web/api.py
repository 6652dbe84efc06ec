"""The JSON interface, in the shape of Hugging Face's daily papers: what was written for these reads this as well.

Knows requests, the store and that shape. Knows nothing of how papers are found. What that shape has no place for, such
as verdicts, stands under the key `trued`.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel

from trued.errors import InputError
from trued.feed.identifiers import arxiv_id
from trued.feed.paper_store import PaperStore
from trued.feed.spans import Kind, Span, read_span
from trued.feed.store.records import Filters, Order, StoredPaper
from trued.lab.measured import CommittedEvidence
from trued.papers import catalogue
from trued.web.pages import NOBODY
from trued.web.paper_pages import BoardLine, board_lines
from trued.web.security import search_limited

DESCRIPTION = (
    "Papers, searches and verdicts as JSON. Paths, parameters and shapes are those of Hugging Face's daily papers; "
    "what was measured here stands under the key “trued”."
)
router = APIRouter(tags=["papers"])
_OWN_ID = re.compile(r"trued:(\d{1,15})", re.ASCII)
SORTS: dict[str, Order] = {"publishedAt": "new", "trending": "trending"}


class PersonOut(BaseModel):
    """An author, or whoever submitted a paper."""

    name: str


class PaperOut(BaseModel):
    """A paper's facts."""

    id: str
    title: str
    summary: str
    authors: list[PersonOut]
    publishedAt: str | None  # noqa: N815 - the names are those of the interface that this one mirrors
    submittedOnDailyAt: str | None  # noqa: N815
    upvotes: int
    organization: PersonOut | None
    githubRepo: str | None  # noqa: N815
    projectPage: str | None  # noqa: N815


class TruedOut(BaseModel):
    """What this server knows beyond the feed."""

    uid: int
    url: str
    slug: str | None
    state: Literal["runs", "planned"] | None
    verdicts: dict[str, int]
    measured: str | None


class ItemOut(BaseModel):
    """An entry of the feed."""

    paper: PaperOut
    title: str
    summary: str
    publishedAt: str | None  # noqa: N815
    numComments: int  # noqa: N815
    submittedBy: PersonOut | None  # noqa: N815
    trued: TruedOut


class BoardOut(BaseModel):
    """A card: what its paper claims here, and what came of it."""

    slug: str
    title: str
    field: str
    state: Literal["runs", "planned"]
    claims: int
    verdicts: dict[str, int]
    measured: str | None
    model: str | None
    scale: str | None
    stale: bool | None


class ErrorOut(BaseModel):
    """What went wrong, in one sentence."""

    detail: str


ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorOut}, 422: {"model": ErrorOut}, 429: {"model": ErrorOut},
}  # fmt: skip
MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"
DAY, WEEK = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$", r"^\d{4}-W(0[1-9]|[1-4]\d|5[0-3])$"


@router.get("/api", include_in_schema=False)
def described(request: Request) -> Response:
    """Show people what programs can ask for."""
    return request.app.state.templates.TemplateResponse(request, "api.html", {"schema": request.app.openapi()})


@router.get("/api/daily_papers", responses=ERRORS)
def daily_papers(
    request: Request,
    p: Annotated[int, Query(ge=0, le=100_000, description="page, from 0")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    sort: Annotated[Literal["publishedAt", "trending"] | None, Query(description="else the feed's own order")] = None,
    date: Annotated[str | None, Query(pattern=DAY, description="a day; goes before week and month")] = None,
    week: Annotated[str | None, Query(pattern=WEEK, description="an ISO week; goes before month")] = None,
    month: Annotated[str | None, Query(pattern=MONTH, description="a month")] = None,
) -> list[ItemOut]:
    """Return the papers of a day, a week or a month, or all of them, page by page."""
    filters = Filters()
    if date or week or month:
        kind: Kind = "day" if date else "week" if week else "month"
        period = _period(kind, date or week or month or "")
        filters = Filters(since=period.first, until=period.last)
    store: PaperStore = request.app.state.store
    order: Order = SORTS[sort] if sort else "rank"
    items, _ = store.listing(order, filters, offset=p * limit, limit=limit)
    return [_item(item, request.app.state.evidence) for item in items]


@router.get("/api/papers/search", responses=ERRORS, dependencies=[Depends(search_limited)])
def search(
    request: Request,
    q: Annotated[str, Query(min_length=1, max_length=400, description='words, "phrases", -word, author:, year:2024..')],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    mode: Literal["hybrid", "keyword", "semantic"] = "hybrid",
) -> list[ItemOut]:
    """Return what a search finds, the best first."""
    hits = request.app.state.store.search(q, mode=mode, k=limit, person=NOBODY)
    return [_item(hit.paper, request.app.state.evidence) for hit in hits]


@router.get("/api/papers/{id:path}", responses=ERRORS)
def one_paper(
    request: Request, id: Annotated[str, Path(description="an arXiv id, or an id that this server gave")]
) -> PaperOut:  # fmt: skip
    """Return one paper."""
    store: PaperStore = request.app.state.store
    number, known = _OWN_ID.fullmatch(id), arxiv_id(id)
    stored = None
    if number is not None:
        stored = store.many([int(number[1])]).get(int(number[1]))
    elif known is not None:
        stored = store.find(arxiv=known[0])
    if stored is None:
        raise HTTPException(404, f"the store has no paper {id[:40]!r}; give an arXiv id such as 2405.15589")
    return _paper(stored)


@router.get("/api/board", responses={404: ERRORS[404]})
def board(request: Request) -> list[BoardOut]:
    """Return every paper that has a card: whether it runs, and what was measured."""
    return [_line(line) for line in board_lines(request.app.state.store, request.app.state.evidence.all())]


def _line(line: BoardLine) -> BoardOut:
    card, measured = line.card, line.measured
    facts: dict[str, Any] = {
        "slug": card.slug, "title": card.title, "field": card.field, "state": catalogue.state(card.slug),
        "claims": len(card.claims),
    }  # fmt: skip
    if measured is None:
        return BoardOut(**facts, verdicts={}, measured=None, model=None, scale=None, stale=None)
    return BoardOut(
        **facts, verdicts=measured.tally, measured=measured.day.isoformat(), model=measured.evidence.model,
        scale=measured.evidence.scale, stale=measured.stale,
    )  # fmt: skip


def _period(kind: Kind, text: str) -> Span:
    try:
        return read_span(kind, text)
    except InputError as error:
        raise HTTPException(404, str(error)) from None


def _item(item: StoredPaper, committed: CommittedEvidence) -> ItemOut:
    facts, measured, by = _paper(item), committed.get(item.slug), item.paper.submitted_by
    return ItemOut(
        paper=facts, title=facts.title, summary=facts.summary, publishedAt=facts.publishedAt,
        numComments=item.comments, submittedBy=PersonOut(name=by) if by else None,
        trued=TruedOut(
            uid=item.uid, url=f"/papers/{item.uid}", slug=item.slug,
            state=catalogue.state(item.slug) if item.slug else None,
            verdicts=measured.tally if measured else {}, measured=measured.day.isoformat() if measured else None,
        ),
    )  # fmt: skip


def _paper(item: StoredPaper) -> PaperOut:
    paper = item.paper
    links = {link.kind: link.url for link in reversed(paper.links)}
    return PaperOut(
        id=paper.arxiv or f"trued:{item.uid}", title=paper.title, summary=paper.abstract,
        authors=[PersonOut(name=author.name) for author in paper.authors if not author.hidden],
        publishedAt=_moment(paper.published), submittedOnDailyAt=_moment(item.day), upvotes=item.upvotes,
        organization=PersonOut(name=paper.organization) if paper.organization else None,
        githubRepo=links.get("code"), projectPage=links.get("project"),
    )  # fmt: skip


def _moment(day: date | None) -> str | None:
    return f"{datetime(day.year, day.month, day.day).isoformat()}.000Z" if day else None
