"""The executor: runs an experiment by its slug, continues what was cut off, and writes evidence and report.

Knows the store, the lab, evidence and the report. Knows an experiment by its name alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from trued.errors import InputError, MissingExtra
from trued.files import cache_dir, fingerprint
from trued.lab.cache import Cache
from trued.lab.dependence import Closure, closure
from trued.lab.evidence import Evidence, FigureNote, Measurement, assess_all, collect, small_tables
from trued.lab.experiment import Experiment, Lab, load_experiment
from trued.lab.platform import machine, peak_bytes, versions
from trued.lab.progress import Bars
from trued.lab.results import Result, claim_results, write_results
from trued.lab.runs import Run, RunStore
from trued.lab.wording import seed_names
from trued.papers.catalogue import card as load_card

__all__ = ["TINY_SEEDS", "Interrupted", "Outcome", "Result", "fan_out", "repeatable", "run", "tiny_numbers"]

TINY_SEEDS = (0, 1)
"""The seeds of the tiny run whose numbers evidence keeps."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: finished seeds are kept; the message says how to continue."""


def run(
    slug: str,
    *,
    scale: str = "desktop",
    seeds: int | Sequence[int] | None = None,
    model: str | None = None,
    device: str | None = None,
    data: str | None = None,
    output: str | Path | None = None,
    fresh: bool = False,
    progress: bool = True,
    store: RunStore | None = None,
    work: Path | None = None,
) -> Result:
    """Run the experiment on the paper `slug` and write its evidence and report.

    A run of the same experiment, source, scale and settings that was cut off is continued: its finished seeds are
    not run again.

    Args:
        slug: the paper's name.
        scale: one of the experiment's scales.
        seeds: which, or how many from 0 on; the experiment's own by default.
        model, device, data: handed to the experiment, which chooses for itself where they are None.
        output: the folder for the results; `runs/<date>-<slug>-<scale>` by default.
        fresh: start anew even if there is something to continue.
        progress: show bars, where the error stream is a terminal.
        store: the run store; the default one if None.
        work: where artifacts lie and what `Lab.cached` computes is kept; the user's cache folder if None.

    Raises:
        InputError: no such experiment or scale, or something that the user gave does not fit.
        Interrupted: Ctrl-C; the message says how to continue.
    """
    experiment, card = load_experiment(slug), load_card(slug)
    claim_results(output)
    sizes, wanted = experiment.scale(scale), _seeds(experiment, seeds)
    source = closure(experiment.module)
    settings = {
        "scale": dataclasses.asdict(sizes),
        "options": {"model": model, "device": device, "data": data},
        "inputs": {name: fingerprint(path) for name, path in (("model", model), ("data", data))},
        "source": source.digest,
    }
    store = store or RunStore()
    run = _open_run(store, slug, scale, settings, model=model, fresh=fresh)
    work = work or cache_dir()
    folder = work / "artifacts" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    lab = Lab(
        card=card, scale=sizes, scale_name=scale, wanted=wanted, store=run, folder=folder,
        cache=Cache(work / "lab"), model=model, data=data, device=device,
        model_name=Path(model).name if model and Path(model).exists() else model or "default", bars=Bars(progress),
    )  # fmt: skip
    start, earlier = time.perf_counter(), sum(lab.finished[seed].seconds for seed in wanted if seed in lab.finished)
    again = _command(slug, scale=scale, seeds=seeds, model=model, device=device, data=data, output=output)
    lab.bars.log(f"{slug}: {seed_names(wanted)}")
    _carry_out(experiment, lab, run, again=again)
    evidence = _evidence(lab, source, settings, seconds=earlier + time.perf_counter() - start)
    run.finish(evidence.to_json(), lab.exhibits())
    try:
        return write_results(evidence, lab.exhibits(), output)
    except (InputError, OSError) as error:
        error.add_note(f"The run is finished and kept: trued report {run.id[:8]} --output FOLDER writes it")
        raise


def tiny_numbers(slug: str, *, progress: bool = False) -> dict[str, Measurement]:
    """Run the experiment on the paper `slug` at tiny scale and return what each claim measured, by its id.

    Nothing that was computed before is used, nothing is left behind, and it runs on the processor, so that the same
    code gives the same numbers. Claims that are timed are left out.

    Raises:
        InputError: as `run`.
    """
    with tempfile.TemporaryDirectory(prefix="trued-tiny-") as work:
        result = run(
            slug, scale="tiny", seeds=TINY_SEEDS, device="cpu", output=Path(work) / "results", progress=progress,
            store=RunStore("sqlite://"), work=Path(work),
        )  # fmt: skip
    return repeatable(result.evidence.measurements)


def repeatable(measurements: Mapping[str, Measurement]) -> dict[str, Measurement]:
    """Return the measurements that the same code gives again: those that no clock or memory meter made."""
    return {claim: row for claim, row in measurements.items() if not row.timed}


@dataclass(frozen=True)
class Outcome:
    """How one of several experiments ended: with a result, or with the sentence that says why not."""

    slug: str
    result: Result | None
    error: str = ""


def fan_out(
    slugs: Sequence[str], *, on: Literal["local", "ray"] = "local", workers: int | None = None, **options: Any
) -> list[Outcome]:
    """Run several experiments side by side, each in a process of its own.

    Args:
        slugs: the papers' names; all are looked up before the first one starts.
        on: processes on this machine, or a Ray cluster that shares this file system and run store.
        workers: how many at once on this machine; one per two processors by default.
        options: as `run` takes them.

    Returns:
        One outcome per slug, in order. One that fails does not stop the others.

    Raises:
        InputError: an unknown slug, or an unknown place to run on.
        MissingExtra: Ray is not installed.
    """
    for slug in slugs:
        load_experiment(slug)
    if on == "ray":
        return _on_ray(slugs, options)
    if on != "local":
        raise InputError(f"cannot run on '{on}'; choose local or ray")
    return _on_processes(slugs, workers or max(1, (os.cpu_count() or 1) // 2), options)


def _on_processes(slugs: Sequence[str], workers: int, options: dict[str, Any]) -> list[Outcome]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(
        # Spawned and used once: a forked torch hangs, and each run's peak memory is to be its own.
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_limit_threads, initargs=(threads,),
        max_tasks_per_child=1,
    ) as pool:  # fmt: skip
        jobs = [pool.submit(_outcome, slug, options) for slug in slugs]
        try:
            return [job.result() for job in jobs]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise Interrupted(
                f"interrupted; finished seeds are kept. Continue with: {_command(*slugs, **options)}"
            ) from None


def _on_ray(slugs: Sequence[str], options: dict[str, Any]) -> list[Outcome]:
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "ray") from None
    ray.init(ignore_reinit_error=True)
    remote = ray.remote(_outcome)
    return ray.get([remote.remote(slug, options) for slug in slugs])


def _outcome(slug: str, options: dict[str, Any]) -> Outcome:
    # An error is handed over as text: not every exception survives the way between processes.
    try:
        return Outcome(slug, run(slug, **{**options, "progress": False}))
    except InputError as error:
        return Outcome(slug, None, str(error))
    except (Exception, KeyboardInterrupt) as error:
        return Outcome(slug, None, f"{type(error).__name__}: {error}")


def _limit_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _seeds(experiment: Experiment, seeds: int | Sequence[int] | None) -> tuple[int, ...]:
    wanted = experiment.seeds if seeds is None else tuple(range(seeds) if isinstance(seeds, int) else seeds)
    if not wanted or len(set(wanted)) != len(wanted):
        raise InputError(f"seeds {seeds!r}; expected at least one seed, and none twice, such as 3 or (0, 1, 2)")
    return wanted


def _open_run(
    store: RunStore, slug: str, scale: str, settings: dict[str, Any], *, model: str | None, fresh: bool
) -> Run:
    mark = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    resumable = None if fresh else store.find_resumable(slug, scale, mark)
    return resumable or store.start(slug, scale, model=model or "default", settings=settings, settings_digest=mark)


def _carry_out(experiment: Experiment, lab: Lab, run: Run, *, again: str) -> None:
    """Call the experiment; on any end but a good one, forget the seed in progress and say how to continue."""

    def stopped(status: str) -> str:
        lab.abandon()
        run.stop(status)
        done = sum(seed in lab.finished for seed in lab.wanted)
        return f"{done} of {len(lab.wanted)} seeds are finished and kept. Continue with: {again}"

    try:
        experiment(lab)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {stopped('interrupted')}") from None
    except BaseException as error:
        error.add_note(stopped("failed"))
        raise
    missing = [seed for seed in lab.wanted if seed not in lab.finished]
    if missing:
        run.stop("failed")
        raise InputError(
            f"{experiment.slug}: the experiment ended without finishing seed {missing[0]}; "
            "its function must iterate over lab.seeds to the end"
        )


def _evidence(lab: Lab, source: Closure, settings: dict[str, Any], *, seconds: float) -> Evidence:
    exhibits = lab.exhibits()
    measurements = collect(lab.card.claims, lab.finished, lab.wanted)
    return Evidence(
        slug=lab.card.slug,
        title=lab.card.title,
        arxiv=lab.card.arxiv,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        scale=lab.scale_name,
        settings=settings["scale"],
        model=lab.model_name,
        seeds=lab.wanted,
        protocol=lab.settings,
        claims=lab.card.claims,
        measurements=measurements,
        assessments=assess_all(lab.card.claims, measurements),
        figures=tuple(
            FigureNote(exhibit["name"], exhibit["alt"]) for exhibit in exhibits if exhibit["kind"] == "figure"
        ),
        tables=small_tables(exhibit for exhibit in exhibits if exhibit["kind"] == "table"),
        notes=tuple(lab.notes),
        versions=versions(),
        platform=machine(),
        seconds=round(seconds, 1),
        peak_memory=max([peak_bytes(), *(lab.finished[seed].peak_bytes for seed in lab.wanted)]),
        modules=source.modules,
        method_digest=source.digest,
    )


def _command(*slugs: str, **options: Any) -> str:
    """Return the command that continues these runs. `fresh` is left out: it would not continue."""
    words = ["trued", "run", *slugs]
    for name in ("scale", "seeds", "model", "device", "data", "output"):
        value = options.get(name)
        if name == "seeds" and value is not None and not isinstance(value, int):
            value = ",".join(map(str, value)) + ("," if len(value) == 1 else "")  # "3" would be a number of seeds
        if value is not None and (name, value) != ("scale", "desktop"):
            words += [f"--{name}", str(value)]
    return shlex.join(words)
