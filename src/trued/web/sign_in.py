"""The sign-in page and the account page: a token in, a session out, and invitations for others.

Knows tokens and sessions by `trued.web.accounts`. Knows nothing of what a session is good for.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from trued.errors import InputError
from trued.feed.store.records import OWNER
from trued.web.accounts import Person, close_session, invitation, open_session, person_of_token, visitor
from trued.web.responses import Next, local_path
from trued.web.security import rate_limited, require_csrf

router = APIRouter(include_in_schema=False)
WRITE = [Depends(rate_limited), Depends(require_csrf)]


@router.get("/sign-in")
def sign_in_page(request: Request, next: str = "/") -> Response:
    """Ask for a token, unless nobody needs one here."""
    if visitor(request).may_write:
        return RedirectResponse(local_path(next), 303)
    return _page(request, next)


@router.post("/sign-in", dependencies=WRITE)
def sign_in(request: Request, token: Annotated[str, Form()] = "", next: Next = "/") -> Response:
    """Open a session for whoever the token belongs to."""
    if not request.app.state.settings.public:
        raise HTTPException(403, "this page signs nobody in: without --public it serves its own machine alone")
    person = person_of_token(request.app.state.settings, token)
    if person is None:
        return _page(request, next, "This token is nobody's. Copy it whole, or ask the owner for an invitation.", 403)
    response = RedirectResponse(local_path(next), 303)
    open_session(request, response, person)
    return response


@router.post("/sign-out", dependencies=[Depends(require_csrf)])
def sign_out(request: Request) -> Response:
    """End the session of this browser; a copy of its cookie counts no more either."""
    response = RedirectResponse("/", 303)
    close_session(request, response)
    return response


@router.get("/account")
def account(request: Request, person: Person) -> Response:
    """Show who is signed in, what they keep, and, to the owner, how to invite others."""
    store = request.app.state.store
    return request.app.state.templates.TemplateResponse(
        request, "account.html", {"person": person, "queries": store.saved_queries(person), "invited": None}
    )


@router.post("/account/invitations", dependencies=WRITE)
def invite(request: Request, person: Person, name: Annotated[str, Form()] = "") -> Response:
    """Show the token that signs in as `name`. It is shown once and kept nowhere."""
    if person != OWNER:
        raise HTTPException(403, "invitations are the owner's to make; ask the owner")
    name = name.strip().lower()
    try:
        invited = {"name": name, "token": invitation(request.app.state.settings, name)}
    except InputError as error:
        raise HTTPException(422, str(error)) from None
    store = request.app.state.store
    return request.app.state.templates.TemplateResponse(
        request, "account.html", {"person": person, "queries": store.saved_queries(person), "invited": invited},
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


def _page(request: Request, next: str, error: str = "", status: int = 200) -> Response:
    settings = request.app.state.settings
    values = {"next": local_path(next), "error": error, "possible": bool(settings.public and settings.token)}
    return request.app.state.templates.TemplateResponse(request, "sign_in.html", values, status_code=status)
