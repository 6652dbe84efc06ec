"""The run page: start an experiment, watch it, stop it, and look back over all its runs.

Knows requests, the runner and the run store. Knows nothing of experiments beyond their slugs. Looking needs a sign-in,
since a run names its user's model; starting and stopping is for the owner, on the machine that does the work.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse

from trued.errors import InputError
from trued.lab.runs import RunStore
from trued.lab.wording import duration
from trued.papers import catalogue
from trued.web.accounts import Owner, Person
from trued.web.history import histories
from trued.web.progress import IN_WORDS, Progress, in_utc, latest_runs, progress, run_row
from trued.web.responses import wants_json
from trued.web.runner import SCALES, Busy, Job, Runner, RunRequest
from trued.web.security import rate_limited, require_csrf

TICK = 1.0  # seconds between two looks at a run that somebody watches
SILENCE = 15.0  # seconds after which a sign of life keeps proxies from closing a stream
MOST_WATCHERS = 32
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
_LOCK = threading.Lock()
WRITE = [Depends(rate_limited), Depends(require_csrf)]
RunId = Annotated[str, Path(pattern="^[0-9a-f]{6,32}$")]
Slug = Annotated[str, Path(pattern="^[a-z0-9-]{1,64}$")]
Word = Annotated[str, Form(max_length=500)]


@asynccontextmanager
async def _until_the_end(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        runner = getattr(app.state, "runner", None)
        if runner is not None:
            await run_sync(runner.close)


router = APIRouter(include_in_schema=False, lifespan=_until_the_end)


@router.get("/runs")
def all_runs(request: Request, person: Person) -> Response:
    """Show all runs, and a form to start one."""
    rows = [
        {"id": row.id, "slug": row.slug, "scale": row.scale, "model": row.model, "started": in_utc(row.started),
         "words": IN_WORDS["running" if _at_work(request, row.id) else "elsewhere"] if row.status == "running"
         else row.status}
        for row in latest_runs(run_store(request))
    ]  # fmt: skip
    running = [slug for slug in catalogue.slugs() if catalogue.state(slug) == "runs"]
    latest = runner(request).latest
    values = {"runs": rows, "slugs": running, "scales": SCALES, "job": latest if latest and not latest.over else None}
    return _templates(request).TemplateResponse(request, "runs.html", values)


@router.post("/runs", dependencies=WRITE)
def start(
    request: Request, person: Owner, slug: Word = "", scale: Word = "tiny", seeds: Word = "", model: Word = "",
    fresh: Annotated[bool, Form()] = False,
) -> Response:  # fmt: skip
    """Start an experiment, and lead to the page that shows it."""
    try:
        order = RunRequest(slug.strip(), scale, _count(seeds), model.strip() or None, fresh)
        runner(request).start(order)
    except Busy as error:
        raise HTTPException(409, str(error)) from None
    except InputError as error:
        raise HTTPException(422, str(error)) from None
    if wants_json(request):
        return JSONResponse({"slug": order.slug, "scale": order.scale, "watch": "/runs/now"}, 202)
    return RedirectResponse("/runs/now", 303)


@router.get("/runs/now")
def now(request: Request, person: Person) -> Response:
    """Lead to the run that was started last, or show that it is starting, or why it did not."""
    job = runner(request).latest
    if job is None:
        return RedirectResponse("/runs", 303)
    if job.run_id is not None:
        return RedirectResponse(f"/runs/{job.run_id}", 303)
    elapsed = duration((datetime.now(UTC) - job.started).total_seconds())
    return _templates(request).TemplateResponse(request, "run_starting.html", {"job": job, "elapsed": elapsed})


@router.get("/runs/history/{slug}")
def history(request: Request, person: Person, slug: Slug) -> Response:
    """Show how each claim of a paper came out, run after run."""
    try:
        card = catalogue.card(slug)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    values = {"card": card, "histories": histories(run_store(request), slug)}
    return _templates(request).TemplateResponse(request, "run_history.html", values)


@router.get("/runs/{run_id}")
def one_run(request: Request, person: Person, run_id: RunId) -> Response:
    """Show one run. Without scripts the page asks again every few seconds while the run is not over."""
    run = _progress(request, run_id)
    if wants_json(request):
        return JSONResponse(for_programs(run))
    return _templates(request).TemplateResponse(request, "run.html", {"run": run, "status": _status_text(run)})


@router.get("/runs/{run_id}/events")
async def events(request: Request, person: Person, run_id: RunId) -> Response:
    """Send what the run page shows whenever it changes, as server-sent events, until the run is over."""
    await run_sync(_progress, request, run_id)  # an unknown run is said before the stream begins
    state = request.app.state
    if getattr(state, "watchers", 0) >= MOST_WATCHERS:
        raise HTTPException(503, f"{MOST_WATCHERS} pages watch runs already; close one", {"Retry-After": "10"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(request, run_id), media_type="text/event-stream", headers=headers)


@router.post("/runs/{run_id}/stop", dependencies=WRITE)
def stop(request: Request, person: Owner, run_id: RunId) -> Response:
    """Stop a run as Ctrl-C does: finished seeds are kept."""
    run = _progress(request, run_id)
    job = runner(request).job(run.id)
    if job is None or run.state != "running":
        raise HTTPException(409, "this page did not start that run, or it is over; stop it where it was started")
    job.stop()
    if wants_json(request):
        return JSONResponse({"stopping": True})
    return RedirectResponse(f"/runs/{job.run_id}", 303)


@router.get("/runs/{run_id}/report")
def report(request: Request, person: Person, run_id: RunId) -> Response:
    """Show the whole report of a finished run: figures, tables, answers, settings and versions."""
    from trued.lab.evidence import from_json
    from trued.lab.report import render
    from trued.lab.results import evidence_report

    row = run_store(request).row(_row_id(request, run_id))
    if row.evidence is None:
        raise HTTPException(404, f"this run of {row.slug} is not finished, so it has no report yet")
    try:
        page = render(evidence_report(from_json(row.evidence, f"run {row.id[:8]}"), row.exhibits or []))
    except InputError as error:
        raise HTTPException(409, str(error)) from None
    # The report carries its style in itself; in return nothing in it may run, be sent or be framed.
    return HTMLResponse(page, headers={"Content-Security-Policy": _REPORT_POLICY})


def runner(request: Request) -> Runner:
    """Return the server's runner."""
    state = request.app.state
    with _LOCK:
        if getattr(state, "runner", None) is None:
            state.runner = Runner(state.settings.database_url)
        return state.runner


def run_store(request: Request) -> RunStore:
    """Return the server's run store: the one that `trued run` on this machine fills as well."""
    state = request.app.state
    with _LOCK:
        if getattr(state, "run_store", None) is None:
            state.run_store = RunStore(state.settings.database_url)
        return state.run_store


def for_programs(run: Progress) -> dict[str, Any]:
    """Return a run as plain JSON data."""
    return {
        "id": run.id, "slug": run.slug, "scale": run.scale, "model": run.model, "state": run.state,
        "started": run.started.isoformat(), "done": run.done, "total": run.total, "error": run.error,
        "seeds": [{"seed": seed.seed, "status": seed.status} for seed in run.seeds],
        "steps": [{"what": step.what, "done": step.done, "total": step.total} for step in run.steps],
        "claims": [
            {"id": row.id, "ours": row.ours, "interval": row.interval, "verdict": row.verdict} for row in run.rows
        ],
    }  # fmt: skip


async def _stream(request: Request, run_id: str) -> AsyncIterator[str]:
    """Yield events while somebody listens and the run is not over."""
    state = request.app.state
    state.watchers = getattr(state, "watchers", 0) + 1
    try:
        sent, silent = "", 0.0
        while True:
            run = await run_sync(_progress, request, run_id)
            html = await run_sync(_fragment, request, run)
            if html != sent:
                sent, silent = html, 0.0
                yield _event("progress", {"html": html, "status": _status_text(run)})
            elif silent >= SILENCE:
                silent = 0.0
                yield ": still here\n\n"
            if run.over:
                yield _event("over", {"state": run.state})
                return
            await anyio.sleep(TICK)
            silent += TICK
    finally:
        state.watchers -= 1


def _event(name: str, data: dict[str, Any]) -> str:
    # JSON has no raw line ends, and a line end would end the event.
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _fragment(request: Request, run: Progress) -> str:
    return _templates(request).get_template("_run_progress.html").render(run=run, request=request)


def _status_text(run: Progress) -> str:
    """Return the state of a run in a sentence, for those who hear the page: it changes with seeds, not with seconds."""
    of = f"{run.done} of {run.total}" if run.total is not None else str(run.done)
    counted = run.done if run.total is None else run.total
    return f"{run.words}, {of} seed{'s' if counted != 1 else ''} finished"


def _progress(request: Request, run_id: str) -> Progress:
    store = run_store(request)
    full = _row_id(request, run_id)
    return progress(store, full, runner(request).job(full))


def _row_id(request: Request, run_id: str) -> str:
    try:
        return run_row(run_store(request), run_id).id
    except InputError as error:
        raise HTTPException(404, str(error)) from None


def _at_work(request: Request, run_id: str) -> Job | None:
    job = runner(request).job(run_id)
    return None if job is None or job.over else job


def _count(text: str) -> int | None:
    text = text.strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) < 5):
        raise InputError(f"{text[:40]!r} seeds; give a number such as 3, or none for the experiment's own")
    return int(text) if text else None


def _templates(request: Request) -> Any:
    return request.app.state.templates
