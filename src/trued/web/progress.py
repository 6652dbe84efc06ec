"""How far a run is, and what it has shown so far: read from the run store, with what its process draws beside it.

Knows runs, seeds, cards and jobs. Knows nothing of requests or HTML. The store alone is enough: a run that was started
in a terminal, or on another machine with the same database, is followed as well, seed by seed.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import defer, load_only

from trued.errors import InputError
from trued.lab.evidence import assess_all, collect, from_json
from trued.lab.rows import ClaimRow, claim_rows, rows_of
from trued.lab.runs import Run, RunRow, RunStore, SeedRow
from trued.lab.wording import duration
from trued.papers import catalogue
from trued.web.bars import Step
from trued.web.runner import Job, RunRequest

State = Literal["running", "elsewhere", "interrupted", "failed", "finished"]
IN_WORDS: dict[State, str] = {
    "running": "running",
    "elsewhere": "open: it runs elsewhere, or was cut off",
    "interrupted": "stopped, can be continued",
    "failed": "failed, can be continued",
    "finished": "finished",
}


@dataclass(frozen=True)
class SeedState:
    """One seed: "waiting", "running", "finished" or "failed", and how long it took, as text."""

    seed: int
    status: str
    seconds: str = ""


@dataclass(frozen=True)
class Progress:
    """A run at one moment.

    Attributes:
        id, slug, title, scale, model: which run it is.
        state: as a program reads it; `words` says it to a person.
        seeds: every seed that is wanted, as far as that is known.
        done, total: finished seeds of how many; total is None where only the process that works knows it.
        left: the time left by the seeds so far, as text; empty while there is nothing to go by.
        took: how long it has been worked on, as text.
        started: when the run was opened, in UTC.
        steps: the bars of a process of this server.
        lines: its latest lines.
        rows: the claims with what was measured so far; of the evidence once it is finished.
        error: why it stopped, a sentence; empty if it did not.
        command: what continues or repeats it in a terminal.
        again: what continues it here; None unless it was stopped or failed.
    """

    id: str
    slug: str
    title: str
    scale: str
    model: str
    state: State
    words: str
    seeds: tuple[SeedState, ...]
    done: int
    total: int | None
    left: str
    took: str
    started: datetime
    steps: tuple[Step, ...]
    lines: tuple[str, ...]
    rows: tuple[ClaimRow, ...]
    error: str
    command: str
    again: RunRequest | None

    @property
    def over(self) -> bool:
        """Whether nothing more is to come, unless somebody continues it."""
        return self.state in ("interrupted", "failed", "finished")


def progress(store: RunStore, run_id: str, job: Job | None = None) -> Progress:
    """Return how far a run is.

    Args:
        store: where it is kept.
        run_id: the start of its id.
        job: the process of this server that works on it, or worked on it last.

    Raises:
        InputError: no run's id starts so, or several do.
    """
    row = run_row(store, run_id)
    state = _state(row, job)
    seed_rows = _seed_rows(store, row.id)
    finished = tuple(seed.seed for seed in seed_rows if seed.status == "finished")
    seeds = _seeds(row, seed_rows, job, state)
    total = len(seeds) if job is not None or row.evidence is not None else None
    spent = [seed.seconds for seed in seed_rows if seed.status == "finished"]
    left = ""
    if state == "running" and spent and total:
        left = duration((total - len(spent)) * sum(spent) / len(spent))
    return Progress(
        id=row.id,
        slug=row.slug,
        title=_title(row.slug),
        scale=row.scale,
        model=row.model,
        state=state,
        words=IN_WORDS[state],
        seeds=seeds,
        done=sum(seed.status == "finished" for seed in seeds),
        total=total,
        left=left,
        took=_took(row, job, state, sum(spent)),
        started=in_utc(row.started),
        steps=job.screen.steps if job is not None and state == "running" else (),
        lines=tuple(job.screen.lines) if job is not None else (),
        rows=_rows(store, row.id, row.slug, finished, row.evidence is not None),
        error=job.error if job is not None and state != "finished" else "",
        command=command_of(row),
        again=_again(row, job) if state in ("interrupted", "failed") else None,
    )


def run_row(store: RunStore, run_id: str) -> RunRow:
    """Return the run whose id starts with `run_id`, without its figures and tables.

    Raises:
        InputError: none does, or several do.
    """
    query = select(RunRow).options(defer(RunRow.exhibits)).where(RunRow.id.startswith(run_id, autoescape=True)).limit(2)
    with store.session() as session:
        rows = session.scalars(query).all()
        session.expunge_all()
    if len(rows) != 1 or not run_id:
        raise InputError(f"{'no run has' if not rows else 'several runs have'} an id that starts with {run_id[:32]!r}")
    return rows[0]


def latest_runs(store: RunStore, slug: str | None = None, limit: int = 100) -> list[RunRow]:
    """Return the latest runs, of one paper or of all, without what they measured."""
    light = load_only(
        RunRow.id, RunRow.slug, RunRow.scale, RunRow.model, RunRow.status, RunRow.started, RunRow.finished
    )
    query = select(RunRow).options(light).order_by(RunRow.started.desc()).limit(limit)
    with store.session() as session:
        rows = list(session.scalars(query.filter_by(slug=slug) if slug else query))
        session.expunge_all()
    return rows


def command_of(row: RunRow) -> str:
    """Return the `trued run` that continues a run, or repeats it if it is finished."""
    words = ["trued", "run", row.slug, "--scale", row.scale]
    model = (row.settings.get("options") or {}).get("model")
    return shlex.join([*words, *(["--model", model] if model else []), *(["--fresh"] if row.evidence else [])])


def in_utc(moment: datetime) -> datetime:
    """Return a moment of the store with its zone, which SQLite does not keep."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _state(row: RunRow, job: Job | None) -> State:
    if row.status != "running":
        return row.status if row.status in ("interrupted", "failed") else "finished"
    return "running" if job is not None and not job.over else "elsewhere"


def _seed_rows(store: RunStore, run_id: str) -> Sequence[SeedRow]:
    # Drawings and examples of a seed are large, and this is asked every second.
    light = load_only(SeedRow.seed, SeedRow.status, SeedRow.seconds)
    with store.session() as session:
        rows = session.scalars(select(SeedRow).options(light).filter_by(run_id=run_id).order_by(SeedRow.seed)).all()
        session.expunge_all()
    return rows


def _seeds(row: RunRow, seed_rows: Sequence[SeedRow], job: Job | None, state: State) -> tuple[SeedState, ...]:
    known = {seed.seed: SeedState(seed.seed, seed.status, duration(seed.seconds)) for seed in seed_rows}
    wanted = tuple(job.seeds) if job is not None else tuple(row.evidence["seeds"]) if row.evidence else tuple(known)
    states = [known.get(seed, SeedState(seed, "waiting")) for seed in wanted]
    if state == "running":
        now = next((i for i, seed_state in enumerate(states) if seed_state.status != "finished"), None)
        if now is not None:
            states[now] = SeedState(states[now].seed, "running")
    return tuple(states)


def _took(row: RunRow, job: Job | None, state: State, spent: float) -> str:
    if row.evidence is not None:
        return duration(float(row.evidence["seconds"]))
    if job is not None and state == "running":
        return duration((datetime.now(UTC) - job.started).total_seconds())
    return duration(spent)


@lru_cache(maxsize=64)
def _rows(store: RunStore, run_id: str, slug: str, finished: tuple[int, ...], whole: bool) -> tuple[ClaimRow, ...]:
    """Return the claims with what the finished seeds gave; worked out anew only when another seed is finished."""
    row = run_row(store, run_id)
    try:
        if whole and row.evidence is not None:
            return tuple(claim_rows(from_json(row.evidence, f"run {run_id[:8]}")))
        return tuple(_so_far(store, row, finished)) if finished else ()
    except InputError:  # of another version: its card or its evidence is not what this one reads
        return ()


def _so_far(store: RunStore, row: RunRow, finished: tuple[int, ...]) -> list[ClaimRow]:
    """Return the claims with what the seeds that are finished gave."""
    claims = catalogue.card(row.slug).claims
    measurements = collect(claims, Run(store, row.id).finished(), finished)
    return rows_of(claims, measurements, assess_all(claims, measurements), scale=row.scale)


def _again(row: RunRow, job: Job | None) -> RunRequest | None:
    options = row.settings.get("options") or {}
    try:
        return RunRequest(row.slug, row.scale, job.order.seeds if job is not None else None, options.get("model"))
    except InputError:  # of a paper that runs no more
        return None


def _title(slug: str) -> str:
    try:
        return catalogue.card(slug).title
    except InputError:
        return slug
