"""Papers that people bring: one by its arXiv id, address or title, or a page of them, pasted or as a file.

Knows forms, the sources and the store. Knows nothing of formats or of the network, whose bounds are the client's own:
it asks no private address, and no server more often than politeness allows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse, RedirectResponse

from trued.errors import InputError
from trued.feed.http.client import default_client
from trued.feed.identifiers import arxiv_id
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore
from trued.feed.sources.files import read_bytes
from trued.feed.sources.online import is_reference
from trued.feed.sources.reading import Reading, as_submitted
from trued.feed.sources.resolve import identify
from trued.feed.sources.source import read_reference
from trued.feed.store.records import OWNER, IngestReport
from trued.web.accounts import Person
from trued.web.responses import wants_json
from trued.web.security import LARGEST_BODY, rate_limited, require_csrf

LONGEST_REFERENCE = 500
_PATIENCE: dict[str, Any] = {"retries": 1, "timeout": 10.0, "deadline": 30.0}  # somebody waits for the answer
_AT_ONCE = threading.BoundedSemaphore(2)
WRITE = [Depends(rate_limited), Depends(require_csrf)]
router = APIRouter(include_in_schema=False)


@router.get("/submit")
def submit_page(request: Request, person: Person) -> Response:
    """Show the forms."""
    return _page(request)


@router.post("/submit", dependencies=WRITE)
def submit(
    request: Request,
    person: Person,
    what: Annotated[str, Form()] = "",
    page: Annotated[str, Form()] = "",
    file: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Take in one paper and lead to it, or a page of papers and say what came in."""
    store: PaperStore = request.app.state.store
    what = " ".join(what.split())
    data = page.encode() if page.strip() else file.file.read() if file is not None else b""
    try:
        if bool(what) == bool(data.strip()):
            raise InputError("one thing at a time: give an arXiv id, an address or a title; or paste a page; or a file")
        known = None if data.strip() else _known(store, what)
        if known is not None:
            return _came_in(request, IngestReport(unchanged=1), known)
        uploaded = bool(data.strip())
        read = _pasted(data, page, file) if uploaded else _looked_up(what)
        read = replace(read, papers=tuple(_signed(paper, person, uploaded) for paper in identify(read.papers)))
        report = store.ingest_reading(read)
    except InputError as error:
        if wants_json(request):
            raise HTTPException(422, str(error)) from None
        return _page(request, error=str(error), what=what, page=page, status=422)
    uid = _uid(store, read.papers[0]) if len(read.papers) == 1 else None
    return _came_in(request, report, uid)


def _came_in(request: Request, report: IngestReport, uid: int | None) -> Response:
    if wants_json(request):
        record = {"added": report.added, "changed": report.changed, "unchanged": report.unchanged, "uid": uid}
        return JSONResponse(
            record | {"refused": [{"where": refusal.where, "why": refusal.why} for refusal in report.refused]}
        )
    if uid is not None and not report.refused:
        return RedirectResponse(f"/papers/{uid}", 303)
    return _page(request, report=report)


def _known(store: PaperStore, what: str) -> int | None:
    """Return the number of the paper that an id, an address or a title names, if it is in the store already."""
    arxiv = arxiv_id(what)
    if arxiv is None and is_reference(what):
        return None
    paper = store.find(arxiv=arxiv[0]) if arxiv else store.find(title=what)
    return paper.uid if paper is not None else None


def _looked_up(what: str) -> Reading:
    """Return the papers that an id, an address or a title names."""
    if len(what) > LONGEST_REFERENCE:
        raise InputError(f"{len(what):,} characters are no id, address or title; paste a whole page further down")
    with _turn():
        client = default_client(**_PATIENCE)
        return read_reference(what, client=client)


def _pasted(data: bytes, page: str, file: UploadFile | None) -> Reading:
    name = "what was pasted" if page.strip() else (file.filename if file else None) or "the file"
    return read_bytes(data, name[:80])


def _signed(paper: FeedPaper, person: str, uploaded: bool) -> FeedPaper:
    """Return a paper with the person who brought it.

    The owner's files are believed about where they come from. Everyone else's are what that person says, whatever
    source the file names; and upvotes are believed of no one but the owner.
    """
    if person != OWNER:
        paper = as_submitted(paper) if uploaded else replace(paper, upvotes=None, comments=None)
    return replace(paper, submitted_by=person)


def _uid(store: PaperStore, paper: FeedPaper) -> int | None:
    stored = store.find(arxiv=paper.arxiv) if paper.arxiv else store.find(title=paper.title)
    return stored.uid if stored is not None else None


@contextmanager
def _turn() -> Iterator[None]:
    """Let two submissions fetch at once: each occupies a thread of the server while arXiv makes it wait."""
    if not _AT_ONCE.acquire(blocking=False):
        raise HTTPException(503, "other papers are being fetched; submit it again in a moment", {"Retry-After": "5"})
    try:
        yield
    finally:
        _AT_ONCE.release()


def _page(
    request: Request, *, error: str = "", report: IngestReport | None = None, what: str = "", page: str = "",
    status: int = 200,
) -> Response:  # fmt: skip
    values = {"error": error, "report": report, "what": what, "page": page, "most": f"{LARGEST_BODY >> 20} MiB"}
    return request.app.state.templates.TemplateResponse(request, "submit.html", values, status_code=status)
