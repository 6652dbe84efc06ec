"""The pictures beside papers, from the store: a reader's browser asks nobody else for them.

Knows requests and the store. Knows nothing of where pictures come from.
"""

from __future__ import annotations

from hashlib import sha256

from fastapi import APIRouter, HTTPException, Request, Response

router = APIRouter(include_in_schema=False)


@router.get("/papers/{uid:int}/thumbnail")
def thumbnail(request: Request, uid: int) -> Response:
    """Send a paper's picture: for good where the address names its content, else to be asked about again."""
    try:
        image = request.app.state.store.thumbnail(uid)
    except OverflowError:
        image = None
    if image is None:
        raise HTTPException(404, f"there is no picture of paper {str(uid)[:20]}")
    digest = sha256(image).hexdigest()[:12]
    named = request.query_params.get("v") == digest
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": "public, max-age=31536000, immutable" if named else "no-cache",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(image, media_type="image/webp", headers=headers)
