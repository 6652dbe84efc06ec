"""What a form answers: back to where it stood, or JSON for a program.

Knows requests and addresses. Knows nothing of what the form did.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

_LONGEST = 2000
Next = Annotated[str, Form(alias="next", max_length=_LONGEST)]


def wants_json(request: Request) -> bool:
    """Tell whether a program asks and not a browser's form."""
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def local_path(path: str, default: str = "/") -> str:
    """Return `path` if it leads to a page of this server, else `default`: a form must not send anyone elsewhere."""
    plain = path.isprintable() and "\\" not in path and len(path) <= _LONGEST
    if not plain or not path.startswith("/") or path.startswith("//"):
        return default
    try:
        parts = urlsplit(path)
    except ValueError:
        return default
    return default if parts.scheme or parts.netloc else path


def respond(request: Request, where: str, default: str, **values: Any) -> Response:
    """Return `values` as JSON to a program, and the way back to everyone else (303, so that reloading repeats nothing).

    Args:
        where: the page that the form named; `default` if it named none, or none of this server's.
    """
    if wants_json(request):
        return JSONResponse(values)
    return RedirectResponse(local_path(where, default), 303)
