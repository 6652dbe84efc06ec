"""The web application: store, settings, templates and evidence put together, and every error said in one sentence.

Knows which routers there are. Knows nothing of what they answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from trued import __version__
from trued.errors import InputError
from trued.feed.paper_store import Embed, PaperStore
from trued.lab.measured import CommittedEvidence
from trued.web import (
    api,
    feeds,
    marks,
    pages,
    paper_pages,
    runs,
    sign_in,
    static_files,
    submission,
    subscriptions,
    thumbnails,
)
from trued.web.responses import wants_json
from trued.web.security import Guard, Limiter
from trued.web.settings import Settings
from trued.web.templating import make_templates

ROUTERS = (
    static_files.router, pages.router, paper_pages.router, thumbnails.router, sign_in.router, marks.router,
    submission.router, runs.router, subscriptions.router, feeds.router, api.router,
)  # fmt: skip


def create_app(
    store: PaperStore | None = None, settings: Settings | None = None, *, embed: Embed | None = None,
    evidence: str | Path | None = None,
) -> FastAPI:  # fmt: skip
    """Return the application.

    Args:
        store: of papers; the one that the settings name if None, which is closed with the application.
        settings: where it listens and who may write; for this machine alone if None.
        embed: texts to vectors, for a store that is opened here; without it, meaning is TF-IDF's.
        evidence: the folder of committed evidence; see `trued.lab.committed.evidence_folder`.

    Raises:
        InputError: the store cannot be opened.
    """
    settings = settings or Settings()
    committed = CommittedEvidence(evidence)
    own = None if store is not None else PaperStore(settings.database_url, embed=embed, verdicts=committed.verdicts)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if own is not None:
                own.close()

    app = FastAPI(
        title="trued: the daily papers", version=__version__, description=api.DESCRIPTION, lifespan=lifespan,
        openapi_url="/api/openapi.json", docs_url=None, redoc_url=None,
        redirect_slashes=False,  # Starlette would lead to whatever the Host header says
    )  # fmt: skip
    app.state.store, app.state.settings, app.state.evidence = store or own, settings, committed
    app.state.templates = make_templates()
    app.state.writes, app.state.searches = Limiter(60, burst=60), Limiter(240, burst=120)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Guard)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(InputError, _bad_input)
    return app


async def _refused(request: Request, error: Any) -> Response:
    if 300 <= error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    sentence = str(error.detail)
    if error.status_code == 404 and (path := _without_slash(request)):
        return RedirectResponse(path, 307)
    if sentence == HTTPStatus(error.status_code).phrase:  # of the framework, which names no remedy
        sentence = f"{request.method} {request.url.path[:80]}: {sentence.lower()}; the papers are at /"
    return _say(request, error.status_code, sentence, error.headers)


def _without_slash(request: Request) -> str | None:
    """Return the address of the page that a path with a slash too many means, or None if there is no such page."""
    path = f"/{request.url.path.strip('/')}"
    if path in ("/", request.url.path) or not request.url.path.endswith("/"):
        return None
    scope = {**request.scope, "path": path, "raw_path": quote(path).encode()}
    if not any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
        return None
    return quote(path) + (f"?{request.url.query}" if request.url.query else "")


async def _unfit(request: Request, error: Any) -> Response:
    return _say(request, 422, "; ".join(_complaints(error)))


async def _bad_input(request: Request, error: Any) -> Response:
    return _say(request, 422, str(error))


def _say(request: Request, status: int, sentence: str, headers: Any = None) -> Response:
    """Return an error as a page to people, and as JSON to programs."""
    asks_api = request.url.path.startswith("/api/") or wants_json(request)
    if asks_api or "text/html" not in request.headers.get("accept", "text/html"):
        return JSONResponse({"detail": sentence}, status, headers)
    values = {"status": status, "phrase": HTTPStatus(status).phrase, "sentence": sentence}
    return request.app.state.templates.TemplateResponse(request, "error.html", values, status, headers=headers)


def _complaints(error: RequestValidationError) -> Iterator[str]:
    for problem in error.errors()[:3]:
        place = ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0])
        value = problem.get("input")
        text = f" {value[:40]!r}" if isinstance(value, str) else ""
        yield f"{place}{text}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
