"""Who is asking: the owner at this machine, someone who signed in with a token, or a visitor.

Knows requests, the server's token and signed cookies. Knows nothing of papers or of what a person may find there. No
password and no table of people is kept: the token from the environment proves the owner, and an invitation that was
signed with it proves everyone else. A new token ends every session and every invitation; signing out ends one session,
wherever its cookie was copied to.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Request
from itsdangerous import BadSignature, URLSafeSerializer, URLSafeTimedSerializer

from trued.errors import InputError
from trued.feed.store.records import OWNER
from trued.web.settings import TOKEN, Settings, is_loopback

if TYPE_CHECKING:
    from fastapi import Response

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
COOKIE = "trued_session"
SESSION_SECONDS = 30 * 24 * 3600
_MOST = 512  # characters of a token or a cookie that are looked at
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


@dataclass(frozen=True)
class Visitor:
    """Who a request comes from.

    Attributes:
        person: the person's id in the store, or None for someone who has not signed in.
        local: the request was made on this machine, by its own name and through no proxy.
    """

    person: str | None
    local: bool

    @property
    def may_write(self) -> bool:
        """Whether votes, comments, marks and submissions are theirs to make."""
        return self.person is not None

    @property
    def may_run(self) -> bool:
        """Whether experiments are theirs to start: the owner, and only on the machine that would do the work."""
        return self.person == OWNER and self.local


def visitor(request: Request) -> Visitor:
    """Return who is asking; worked out once per request.

    A page that serves this machine alone needs no sign-in: whoever is here is the owner. With `--public` a signed
    cookie says who it is, on this machine too.
    """
    known = getattr(request.state, "visitor", None)
    if known is None:
        settings, local = request.app.state.settings, is_local(request)
        person = _person_of_session(request) if settings.public else OWNER if local else None
        known = request.state.visitor = Visitor(person, local)
    return known


def is_local(request: Request) -> bool:
    """Tell whether a request comes from this machine, names it by a loopback name and met no proxy.

    The address alone does not say it: a page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding), and
    behind a proxy on this machine everyone has its address.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.client.host) and is_loopback(_host_name(request.headers.get("host", "")))


async def signed_in(request: Request) -> str:
    """Return the person who is asking. Use it as a dependency.

    Raises:
        HTTPException: nobody has signed in: to the sign-in page if the request was for a page, 401 otherwise.
    """
    person = visitor(request).person
    if person is not None:
        return person
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise HTTPException(303, headers={"Location": f"/sign-in?{urlencode({'next': path})}"})
    raise HTTPException(401, "nobody is signed in here; sign in at /sign-in and do the same again")


async def local_owner(request: Request) -> str:
    """Return the owner, if it is the owner who is asking, on the machine that serves this page. A dependency.

    Raises:
        HTTPException: 403 for everyone else.
    """
    if not visitor(request).may_run:
        raise HTTPException(
            403, "experiments are started by the owner, on the machine that serves this page; "
            "open it there as http://localhost, or use `trued run` in a terminal",
        )  # fmt: skip
    return OWNER


Person = Annotated[str, Depends(signed_in)]
Owner = Annotated[str, Depends(local_owner)]


def person_of_token(settings: Settings, presented: str) -> str | None:
    """Return whose token this is: the owner's, an invited person's, or None for nobody's."""
    presented = presented.strip()
    if not settings.token or not presented or len(presented) > _MOST:
        return None
    # Hashes have one length, so the comparison takes as long whatever was typed in.
    if hmac.compare_digest(sha256(presented.encode()).digest(), sha256(settings.token.encode()).digest()):
        return OWNER
    try:
        return _name(_invitations(settings).loads(presented))
    except BadSignature:
        return None


def invitation(settings: Settings, name: str) -> str:
    """Return a token that signs in as `name`, valid until the server's own token is changed.

    Args:
        settings: of a server that has a token.
        name: lower-case letters, digits and hyphens, 32 at most.

    Raises:
        InputError: no such name can be given, or the server has no token to sign with.
    """
    if not settings.token:
        raise InputError(f"invitations are signed with the server's token; set {TOKEN} and start the server again")
    if _name(name) is None:
        raise InputError(
            f"the name {name[:40]!r} cannot be given; use up to 32 lower-case letters, digits and hyphens, "
            f"and not '{OWNER}'"
        )
    return str(_invitations(settings).dumps(name))


def open_session(request: Request, response: Response, person: str) -> None:
    """Put a signed cookie on `response` that says who it is, for thirty days."""
    session = [person, secrets.token_urlsafe(12)]
    response.set_cookie(
        COOKIE, str(_sessions(request.app.state.settings).dumps(session)), max_age=SESSION_SECONDS, path="/",
        httponly=True, samesite="lax", secure=request.url.scheme == "https",
    )  # fmt: skip


def close_session(request: Request, response: Response) -> None:
    """End the session, and take its cookie away."""
    if session := _session(request):
        store = request.app.state.store
        store.end_session(session[1], store.now() + timedelta(seconds=SESSION_SECONDS))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


def _person_of_session(request: Request) -> str | None:
    session = _session(request)
    if session is None or request.app.state.store.session_ended(session[1]):
        return None
    return session[0] if session[0] == OWNER else _name(session[0])


def _session(request: Request) -> tuple[str, str] | None:
    """Return the person and the id that a request's cookie names, if it is genuine and not out of date."""
    settings, cookie = request.app.state.settings, request.cookies.get(COOKIE, "")
    if not settings.token or not cookie or len(cookie) > _MOST:
        return None
    try:
        person, session_id = _sessions(settings).loads(cookie, max_age=SESSION_SECONDS)
    except (BadSignature, ValueError):
        return None
    return person, session_id


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and NAME.fullmatch(value) and value != OWNER else None


def _sessions(settings: Settings) -> URLSafeTimedSerializer:
    # The token is part of the key, so that changing it signs everyone out.
    return URLSafeTimedSerializer(f"{settings.secret}\n{settings.token or ''}", salt="trued session")


def _invitations(settings: Settings) -> URLSafeSerializer:
    # Not of the secret, which may be new with every start: an invitation outlives a restart.
    return URLSafeSerializer(settings.token or "", salt="trued invitation")


def _host_name(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host
