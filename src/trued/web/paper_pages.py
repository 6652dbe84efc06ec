"""A paper's page, with its claims beside what was measured, and the board of all papers that have a card.

Knows requests, cards, evidence and the store. Knows nothing of how claims are measured or judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.convertors import Convertor, register_url_convertor

from trued.errors import InputError
from trued.feed.export.bibtex import to_bibtex
from trued.feed.identifiers import arxiv_id
from trued.feed.paper_store import PaperStore
from trued.feed.store.records import Filters, Marks, StoredPaper
from trued.lab.measured import Measured
from trued.lab.rows import ClaimRow
from trued.lab.wording import duration, memory, paper_levels
from trued.papers import catalogue
from trued.papers.card import Card, Claim
from trued.web.accounts import visitor
from trued.web.security import search_limited

NEAREST = 5
AT_LEAST = {"higher": "higher by at least", "lower": "lower by at least", "equal": "equal within"}
router = APIRouter(include_in_schema=False)


class ArxivConvertor(Convertor[str]):
    """An arXiv id in an address, so that `/papers/2405.15589` is no paper 2405 in the format 15589."""

    regex = r"\d{4}\.\d{4,5}(?:v\d+)?|[a-z][a-z-]*(?:\.[A-Z]{2})?/\d{7}(?:v\d+)?"

    def convert(self, value: str) -> str:
        """Return it as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return it as it is."""
        return value


register_url_convertor("arxiv", ArxivConvertor())


@dataclass(frozen=True)
class BoardLine:
    """A card on the board: where its page is, whether it runs, and what was measured."""

    card: Card
    uid: int | None
    state: str
    measured: Measured | None


@router.get("/papers/{uid:int}", dependencies=[Depends(search_limited)])
def paper(request: Request, uid: int) -> Response:
    """Show one paper: facts, claims and evidence, how to run it, how to cite it, what people said."""
    state = request.app.state
    item = _stored(state.store, uid)
    person = visitor(request).person
    card = catalogue.card(item.slug) if item.slug else None
    measured = state.evidence.get(item.slug)
    values = {
        "item": item, "paper": item.paper, "card": card, "measured": measured,
        "runs": card is not None and catalogue.state(card.slug) == "runs",
        "rows": measured.rows if measured else tuple(planned_row(claim) for claim in (card.claims if card else ())),
        "passes": {claim.id: passes_if(claim) for claim in (card.claims if card else ())},
        "protocol": _protocol(measured) if measured else {}, "citation": to_bibtex([item]).strip(),
        "marks": state.store.marks(person, [uid])[uid] if person else Marks(), "committed": state.evidence,
        "comments": state.store.comments(uid), "thumbnail": state.store.thumbnail_digests([uid]).get(uid),
        "nearest": state.store.similar(uid, k=NEAREST),
    }  # fmt: skip
    return state.templates.TemplateResponse(request, "paper.html", values, headers={"Vary": "Cookie"})


@router.get("/cards/{slug}")
def card_page(request: Request, slug: str) -> Response:
    """Lead to the page of the paper with this slug."""
    try:
        card = catalogue.card(slug)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    item = request.app.state.store.find(arxiv=card.arxiv, title=card.title)
    if item is None:
        raise HTTPException(404, f"{slug} has a card, and the store lacks its paper; `trued papers ingest` adds it")
    return RedirectResponse(f"/papers/{item.uid}", 303)


@router.get("/papers/{id:arxiv}")
def by_arxiv(request: Request, id: str) -> Response:
    """Lead from an arXiv id, as Hugging Face's addresses have it, to the paper's page."""
    arxiv, _ = arxiv_id(id) or (id, None)
    item = request.app.state.store.find(arxiv=arxiv)
    if item is None:
        raise HTTPException(404, f"the store has no paper {arxiv}; submit it at /submit, and it has")
    return RedirectResponse(f"/papers/{item.uid}", 303)


@router.get("/board")
def board(request: Request) -> Response:
    """Show every paper that has a card: what runs, what was measured, and when."""
    state = request.app.state
    lines = board_lines(state.store, state.evidence.all())
    running = sorted((line for line in lines if line.state == "runs"), key=lambda line: line.measured is None)
    planned = [line for line in lines if line.state != "runs"]
    tally = {
        word: sum(line.measured.tally.get(word, 0) for line in lines if line.measured)
        for word in ("supported", "contradicted", "inconclusive")
    }
    values = {
        "running": running, "planned": [(field, list(group)) for field, group in groupby(planned, _field)],
        "tally_of": tally, "count": len(lines), "measured": sum(line.measured is not None for line in lines),
    }  # fmt: skip
    return state.templates.TemplateResponse(request, "board.html", values)


def board_lines(store: PaperStore, measured: dict[str, Measured]) -> list[BoardLine]:
    """Return a line a card, by field and slug."""
    items: list[StoredPaper] = []
    for state in ("runs", "planned"):
        items += store.listing("rank", Filters(state=state), limit=1000)[0]
    uids = {item.slug: item.uid for item in items}
    lines = [
        BoardLine(card, uids.get(slug), catalogue.state(slug), measured.get(slug))
        for slug, card in catalogue.cards().items()
    ]
    return sorted(lines, key=lambda line: (line.card.field, line.card.slug))


def planned_row(claim: Claim) -> ClaimRow:
    """Return the row of a claim that nothing was measured for."""
    return ClaimRow(
        id=claim.id, says=claim.says, metric=claim.metric, paper=paper_levels(claim.paper),
        where=(claim.paper.where or "") if claim.paper else "", ours="–", interval="", verdict="", why="",
        control=claim.control or "", strip=None,
    )  # fmt: skip


def passes_if(claim: Claim) -> str:
    """Return what has to be measured for a claim to count as supported."""
    if claim.margin.ratio:
        return f"{AT_LEAST[claim.better]} a factor of {claim.margin.value:g}"
    points = claim.unit == "points"
    return f"{AT_LEAST[claim.better]} {claim.margin.value * (100 if points else 1):g} {claim.unit}"


def _protocol(measured: Measured) -> dict[str, Any]:
    evidence = measured.evidence
    return {
        **evidence.settings, **evidence.protocol, "time": duration(evidence.seconds),
        "peak memory": memory(evidence.peak_memory), **evidence.versions, **evidence.platform,
    }  # fmt: skip


def _stored(store: PaperStore, uid: int) -> StoredPaper:
    try:
        return store.get(uid)
    except (InputError, OverflowError):
        raise HTTPException(404, f"the store has no paper {str(uid)[:20]}; search for it, or submit it") from None


def _field(line: BoardLine) -> str:
    return line.card.field
