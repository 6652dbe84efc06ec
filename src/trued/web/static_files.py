"""Style sheets, scripts and the icon: addresses that change with their content, so that a browser may keep them.

Knows files. The lab's style sheet is among them: the page and a report look alike because they share it.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

import trued.lab

HERE = Path(__file__).parent / "static"
SHARED = {"report.css": Path(trued.lab.__file__).parent / "templates" / "report.css"}
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
router = APIRouter(include_in_schema=False)


def static(name: str) -> str:
    """Return the address of a static file, with a digest of its content."""
    return f"/static/{name}?v={_digest(name)}"


@router.get("/static/{name}")
def static_file(request: Request, name: str) -> Response:
    """Send a file: for good where the address names its content, to be asked about again where it does not."""
    if name not in _names():
        raise HTTPException(404, f"there is no file {name[:60]!r} here")
    tag = f'"{_digest(name)}"'
    named = request.query_params.get("v") == _digest(name)
    headers = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable" if named else "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(_content(name), media_type=TYPES[Path(name).suffix], headers=headers)


@router.get("/favicon.ico")
def favicon() -> Response:
    """Lead browsers that ask here to the icon."""
    return RedirectResponse(static("icon.svg"), 308)


@cache
def _names() -> frozenset[str]:
    return frozenset({path.name for path in HERE.iterdir() if path.suffix in TYPES} | set(SHARED))


@cache
def _content(name: str) -> bytes:
    return (SHARED.get(name) or HERE / name).read_bytes()


@cache
def _digest(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:12]
