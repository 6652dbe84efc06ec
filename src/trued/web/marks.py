"""What people leave beside a paper: upvotes, comments, bookmarks, tags, notes, what they have read, saved searches.

Knows forms and the store, which says what it does not take. Knows nothing of who is signed in, which `accounts` tells,
or of how papers are shown. Each address takes a plain form and leads back to where it stood; if JSON
is accepted, it answers with what is true now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Request, Response

from trued.errors import InputError
from trued.feed.paper_store import PaperStore
from trued.web.accounts import Person
from trued.web.paper_lists import Row, list_page
from trued.web.responses import Next, respond
from trued.web.security import rate_limited, require_csrf

router = APIRouter(include_in_schema=False)
WRITE = [Depends(rate_limited), Depends(require_csrf)]
Uid = Annotated[int, Path(ge=1, le=2**53)]
On = Annotated[bool, Form()]
Text = Annotated[str, Form()]


@router.post("/papers/{uid}/vote", dependencies=WRITE)
def vote(request: Request, person: Person, uid: Uid, on: On = True, next: Next = "") -> Response:
    """Upvote a paper, or take the upvote back."""
    with _store_with(request, uid) as store:
        votes = store.vote(person, uid, on)
    return respond(request, next, f"/papers/{uid}", votes=votes, voted=on)


@router.post("/papers/{uid}/bookmark", dependencies=WRITE)
def bookmark(request: Request, person: Person, uid: Uid, on: On = True, next: Next = "") -> Response:
    """Keep a paper, or keep it no longer."""
    with _store_with(request, uid) as store:
        store.bookmark(person, uid, on)
    return respond(request, next, f"/papers/{uid}", bookmarked=on)


@router.post("/papers/{uid}/read", dependencies=WRITE)
def mark_read(request: Request, person: Person, uid: Uid, on: On = True, next: Next = "") -> Response:
    """Mark a paper as read, or as unread."""
    with _store_with(request, uid) as store:
        store.mark_read(person, uid, on)
    return respond(request, next, f"/papers/{uid}", read=on)


@router.post("/papers/{uid}/tag", dependencies=WRITE)
def tag(
    request: Request, person: Person, uid: Uid, tag: Text = "", on: On = True, next: Next = ""
) -> Response:  # fmt: skip
    """Put a paper under a tag of one's own, or take it from under it."""
    with _store_with(request, uid) as store:
        store.tag(person, uid, tag, on)
        tags = store.marks(person, [uid])[uid].tags
    return respond(request, next, f"/papers/{uid}", tags=list(tags))


@router.post("/papers/{uid}/note", dependencies=WRITE)
def note(request: Request, person: Person, uid: Uid, text: Text = "", next: Next = "") -> Response:
    """Keep a note that only its writer sees; an empty one takes it away."""
    with _store_with(request, uid) as store:
        store.note(person, uid, text)
        saved = store.note_of(person, uid)
    return respond(request, next, f"/papers/{uid}#note", note=saved)


@router.post("/papers/{uid}/comments", dependencies=WRITE)
def comment(request: Request, person: Person, uid: Uid, text: Text = "", next: Next = "") -> Response:
    """Leave a comment that every reader sees."""
    with _store_with(request, uid) as store:
        made = store.comment(person, uid, text)
    record = {"id": made.id, "person": made.person, "text": made.text, "at": made.at.isoformat()}
    return respond(request, next, f"/papers/{uid}#comment-{made.id}", comment=record)


@router.get("/bookmarks")
def bookmarks(request: Request, person: Person) -> Response:
    """Show the papers that a person keeps."""
    store: PaperStore = request.app.state.store
    return list_page(request, "bookmarks.html", [Row(None, item) for item in store.bookmarks(person)])


@router.post("/queries", dependencies=WRITE)
def save_query(request: Request, person: Person, q: Text = "", name: Text = "", next: Next = "") -> Response:
    """Keep a search under a name, or under its own words; an empty search takes the name's away."""
    name = name.strip() or q
    with _refusals():
        request.app.state.store.save_query(person, name, q)
    return respond(request, next, "/account", name=name, q=q)


@contextmanager
def _store_with(request: Request, uid: int) -> Iterator[PaperStore]:
    """Yield the store, in which there is such a paper; what it refuses is said to the person who asked."""
    store: PaperStore = request.app.state.store
    try:
        store.get(uid)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    with _refusals():
        yield store


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise HTTPException(422, str(error)) from None
