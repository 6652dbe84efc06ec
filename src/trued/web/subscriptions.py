"""Digests by e-mail, requested and ended on the page: the form, the confirmation, and one-click unsubscribing.

Knows forms and `trued.feed.mail.subscribers`, which keeps the rules. Knows nothing of mail. A link in a mail shows a
page with one button: mail scanners follow links, and what they follow must change nothing. The exception is the request
that a mail program itself makes for its unsubscribe button (RFC 8058): it comes from no page, so it carries no form
token, and the signed token in its address is the permission.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import PlainTextResponse

from trued.errors import InputError
from trued.feed.mail import subscribers
from trued.feed.mail.settings import public_url
from trued.feed.mail.signed_links import LONGEST
from trued.web.accounts import is_local
from trued.web.responses import wants_json
from trued.web.security import rate_limited, require_csrf

router = APIRouter(include_in_schema=False)
Token = Annotated[str, Query(max_length=LONGEST)]
Text = Annotated[str, Form()]


@router.get("/subscribe")
def subscribe_page(request: Request, q: Annotated[str, Query(max_length=subscribers.LONGEST_QUERY)] = "") -> Response:
    """Show the form, for the trending papers or, with `q`, for a search."""
    return _form(request, q=q)


@router.post("/subscribe", dependencies=[Depends(rate_limited), Depends(require_csrf)])
def subscribe(request: Request, email: Text = "", period: Text = "daily", q: Text = "") -> Response:
    """Send a confirmation to an address. The answer is the same whether the address is known already."""
    try:
        subscribers.request_subscription(
            request.app.state.store, email, period, q,
            secret=request.app.state.settings.secret, base_url=address_for_mail(request),
        )  # fmt: skip
    except InputError as error:
        if wants_json(request):
            raise HTTPException(422, str(error)) from None
        return _form(request, email=email, period=period, q=q, error=str(error), status=422)
    return _message(
        request, "Look into your mailbox",
        "If the address is right, a mail with a link is on its way to it. Nothing else is sent until you follow it.",
    )  # fmt: skip


@router.get("/subscribe/confirm")
def confirm_page(request: Request, token: Token = "") -> Response:
    """Show what is about to be subscribed to, and the button that does it."""
    return _ask(request, token, "confirm")


@router.post("/subscribe/confirm", dependencies=[Depends(rate_limited), Depends(require_csrf)])
def confirm(request: Request, token: Text = "") -> Response:
    """Begin the digests: whoever has the token reads that mailbox."""
    try:
        subscriber = subscribers.confirm(request.app.state.store, token, secret=request.app.state.settings.secret)
    except InputError as error:
        return _message(request, "This link is not valid", str(error), 410)
    what = f"with what is new for “{subscriber.q}”" if subscriber.q else "with the trending papers"
    return _message(
        request,
        "Subscribed",
        f"{subscriber.email} gets a {subscriber.period} digest {what}. Each has a link that ends it.",
    )


@router.get("/unsubscribe")
def unsubscribe_page(request: Request, token: Token = "") -> Response:
    """Show which subscription is about to end, and the button that ends it."""
    return _ask(request, token, "unsubscribe")


@router.post("/unsubscribe", dependencies=[Depends(rate_limited)])
def unsubscribe(request: Request, token: Token = "") -> Response:
    """End the digests for the address that the token names, at once and however often it is requested."""
    try:
        email = subscribers.unsubscribe(request.app.state.store, token, secret=request.app.state.settings.secret)
    except InputError as error:
        return _message(request, "This link is not valid", str(error), 410)
    return _message(request, "Unsubscribed", f"{email} gets no more digests.")


def address_for_mail(request: Request) -> str:
    """Return the address that links in a mail begin with.

    Only a loopback name is taken from the request: any other Host header can be made up, and the link would lead there.

    Raises:
        InputError: the page is not for this machine alone, and its address is not configured.
    """
    if known := public_url():
        return known
    if request.app.state.settings.public or not is_local(request):
        raise InputError("this server does not know its own address, which a mail has to name: set TRUED_PUBLIC_URL")
    return str(request.base_url).rstrip("/")


def _ask(request: Request, token: str, purpose: subscribers.Purpose) -> Response:
    settings = request.app.state.settings
    try:
        link = subscribers.verify(token, purpose, secret=settings.secret)
    except InputError as error:
        return _message(request, "This link is not valid", str(error), 410)
    return request.app.state.templates.TemplateResponse(
        request, "subscription.html", {"link": link, "purpose": purpose, "token": token}, headers=_UNSEEN
    )


def _form(
    request: Request, *, email: str = "", period: str = "daily", q: str = "", error: str = "", status: int = 200
) -> Response:
    values = {"email": email, "period": period, "search": q, "error": error}
    return request.app.state.templates.TemplateResponse(request, "subscribe.html", values, status_code=status)


def _message(request: Request, heading: str, sentence: str, status: int = 200) -> Response:
    """Return a page that says one thing; to a mail program, which shows nobody a page, the sentence alone."""
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(sentence, status)
    values = {"heading": heading, "sentence": sentence}
    return request.app.state.templates.TemplateResponse(
        request, "message.html", values, status_code=status, headers=_UNSEEN
    )  # fmt: skip


# The token stands in these pages' address.
_UNSEEN = {"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
