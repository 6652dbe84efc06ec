"""What keeps the page safe: headers, a bound on what is sent, tokens in forms, and a limit on how often one may write.

Knows requests and responses. Knows nothing of papers, and nothing of who signs in.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from math import ceil
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from markupsafe import Markup
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 2 * 2**20  # bytes; the text of a whole feed page has a twentieth of that
TOO_LARGE = f"more than {LARGEST_BODY // 2**20} MiB were sent; send less, or use `trued papers ingest` in a terminal"
POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
        "manifest-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: browsers then send `Origin: null` with forms, and the origin is one of the checks below.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
CSRF_COOKIE, CSRF_FIELD, CSRF_HEADER = "trued_form", "csrf", "x-csrf-token"


class Guard:
    """ASGI middleware: safe headers on every answer, and no more than `LARGEST_BODY` bytes of any request.

    It is no Starlette `BaseHTTPMiddleware`, which would put a task and a queue between a stream and its reader.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        left = LARGEST_BODY

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(MutableHeaders(scope=message), scope)
            await send(message)

        async def receive_bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, TOO_LARGE)
            return message

        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > LARGEST_BODY:
            # Nothing of it is read, so the connection is of no further use.
            refusal = PlainTextResponse(TOO_LARGE, 413, {"connection": "close"})
            await refusal(scope, receive, send_safely)
        else:
            await self.app(scope, receive_bounded, send_safely)


def _complete(headers: MutableHeaders, scope: Scope) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("strict-transport-security", "max-age=31536000")
    new = scope.get("state", {}).get("form_key")
    if new is not None:
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        headers.append("set-cookie", f"{CSRF_COOKIE}={new}; Path=/; HttpOnly; SameSite=Lax{secure}")
        # A token belongs to one browser, so a page that contains one belongs to no cache in between.
        headers["cache-control"] = "no-store" if "no-store" in headers.get("cache-control", "") else "private, no-cache"


# Forms


def csrf_token(request: Request) -> str:
    """Return the token that this browser's forms have to bring: it is made from its cookie."""
    key = request.cookies.get(CSRF_COOKIE) or getattr(request.state, "form_key", None)
    if key is None:
        key = request.state.form_key = secrets.token_urlsafe(24)  # `Guard` puts it into a cookie
    return _signed(request, key)


def csrf_field(request: Request) -> Markup:
    """Return the hidden field for a form; templates call it as `{{ csrf_field(request) }}`."""
    field = getattr(request.state, "form_field", None)  # a list of papers has more than a hundred forms
    if field is None:
        field = Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, csrf_token(request))
        request.state.form_field = field
    return field


async def require_csrf(request: Request) -> None:
    """Refuse a form that was not made by a page of this server for this browser. Use it as a dependency.

    Raises:
        HTTPException: 403; another site's page sent it, or the token is missing, foreign or of before a restart.
    """
    if _from_elsewhere(request):
        raise HTTPException(403, "this form was sent by a page of another site; open it here and send it again")
    key = request.cookies.get(CSRF_COOKIE, "")
    given = request.headers.get(CSRF_HEADER)
    if given is None:
        given = (await request.form()).get(CSRF_FIELD)
    if not key or not isinstance(given, str) or not hmac.compare_digest(given.encode(), _signed(request, key).encode()):
        raise HTTPException(403, "this form is out of date; go back, reload the page and send it again")


def _signed(request: Request, key: str) -> str:
    return hmac.new(request.app.state.settings.secret.encode(), f"form {key}".encode(), sha256).hexdigest()


def _from_elsewhere(request: Request) -> bool:
    """Tell whether the browser says that another site's page makes this request."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


# How often


class Limiter:
    """A bucket of tokens a client: `burst` at once, and `per_minute` after that. The oldest clients are forgotten."""

    def __init__(
        self, per_minute: float, burst: int, *, clients: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_second, self.burst, self.clients, self.clock = per_minute / 60, burst, clients, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str) -> float:
        """Take one token and return 0, or return the seconds until there is one."""
        with self._lock:
            now = self.clock()
            tokens, then = self._buckets.pop(client, (float(self.burst), now))
            tokens = min(self.burst, tokens + (now - then) * self.per_second)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / self.per_second
            self._buckets[client] = (tokens - (not wait), now)
            while len(self._buckets) > self.clients:
                self._buckets.popitem(last=False)
            return wait


async def rate_limited(request: Request) -> None:
    """Allow 60 writes at once and 60 a minute from one address. Use it as a dependency of whatever writes or sends.

    Raises:
        HTTPException: 429, with the seconds to wait.
    """
    _limit(request, "writes", request.app.state.writes)


async def search_limited(request: Request) -> None:
    """Allow what typing needs, and no more than a machine can bear: 120 searches at once and 240 a minute.

    Raises:
        HTTPException: 429, with the seconds to wait.
    """
    _limit(request, "searches", request.app.state.searches)


def _limit(request: Request, what: str, limiter: Limiter) -> None:
    wait = limiter.wait(request.client.host if request.client else "")
    if wait:
        raise HTTPException(
            429, f"too many {what} from this address; wait {ceil(wait)} s and do the same again",
            {"Retry-After": str(ceil(wait))},
        )  # fmt: skip
