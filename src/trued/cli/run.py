"""`trued run`: run the experiments on papers' claims, and print what came out beside what the papers say.

Knows options and how to print results. Knows nothing of experiments beyond their slugs.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from trued.cli.options import JsonSwitch, Switch
from trued.cli.terminal import claims_table, console, messages, print_json
from trued.errors import InputError, nearest
from trued.papers import catalogue
from trued.papers.card import Field

if TYPE_CHECKING:
    from trued.lab.results import Result


def run(
    *slugs: str,
    every: Annotated[Switch, Parameter(name="--all")] = False,
    field: Field | None = None,
    scale: str = "desktop",
    seeds: str | None = None,
    model: str | None = None,
    device: str | None = None,
    data: str | None = None,
    output: Path | None = None,
    fresh: Switch = False,
    on: Literal["local", "ray"] = "local",
    evidence: Path | None = None,
    confirm: Path | None = None,
    as_json: JsonSwitch = False,
) -> int:
    """Run the experiments on papers' claims and print the verdicts; a tiny run proves that it runs and gives none.

    A run that was cut off is continued: its finished seeds are not run again.

    Parameters
    ----------
    slugs
        The papers' names, such as c-advul.
    every
        All papers that run.
    field
        With --all: only papers of this field.
    scale
        tiny (seconds, proves that it runs), desktop (the evidence), or full (the paper's sizes).
    seeds
        How many, such as 3 (which runs the seeds 0, 1 and 2), or which, such as 0,1,7; "7," is seed 7 alone. The
        first line of output says which run. The experiment's own otherwise.
    model
        A local folder or a hub id; the experiment's own choice otherwise.
    device
        Such as cpu, cuda or cuda:1.
    data
        Rows in place of the experiment's own: JSONL, Parquet or a data set's name.
    output
        The folder for report, evidence and figures; runs/DATE-SLUG-SCALE otherwise.
    fresh
        Start anew, even if there is a run to continue.
    on
        Where several experiments run side by side: this machine's processes, or a Ray cluster.
    evidence
        A folder that also receives SLUG.json and the figures: docs/evidence, to commit them. The experiment's tiny
        run is made as well, and its numbers are kept, for --confirm.
    confirm
        A folder of evidence, such as docs/evidence. Nothing is measured: where the code has changed since, the tiny run
        decides whether the evidence still holds, and what is confirmed is written into it. Ends with 1 if any is stale.
    """
    to_run = _selected(slugs, every=every, field=field)
    if confirm is not None:
        other = {
            "--scale": scale != "desktop", "--seeds": seeds, "--model": model, "--device": device, "--data": data,
            "--output": output, "--fresh": fresh, "--on": on != "local", "--evidence": evidence,
        }  # fmt: skip
        if clash := [name for name, value in other.items() if value]:
            raise InputError(f"--confirm runs at tiny scale on what the experiment chooses; leave {clash[0]} out")
        return _confirm(to_run, confirm, every=every, as_json=as_json)
    if output is not None and len(to_run) > 1:
        raise InputError(f"--output {output} holds one run, but {len(to_run)} papers are to run; leave --output out")
    options: dict[str, Any] = {
        "scale": scale, "seeds": seeds_of(seeds), "model": model, "device": device, "data": data, "output": output,
        "fresh": fresh,
    }  # fmt: skip
    if evidence is not None:
        from trued.lab import committed

        for slug in to_run:
            committed.claim_evidence(slug, evidence)
    results, failed = _carry_out(to_run, on, options)
    if as_json:
        print_json([_for_machines(result) for result in results])
    else:
        out = console()
        for result in results:
            print_result(out, result)
    if evidence is not None:
        from trued.lab import committed

        for result in results:
            committed.keep(result, evidence)
    for slug, sentence in failed.items():
        messages().print(f"trued: {slug}: {sentence}", soft_wrap=True)
    return 2 if failed else 0


def seeds_of(text: str | None) -> int | tuple[int, ...] | None:
    """Return how many seeds (`3`), which seeds (`0,1,2`), or None for the experiment's own.

    Raises:
        InputError: neither a number above 0 nor different numbers from 0 on, joined by commas.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--seeds {text!r} is not understood; give a number such as 3, or seeds such as 0,1,2")
    numbers = tuple(int(part) for part in parts)
    if "," in text:
        if len(set(numbers)) < len(numbers):
            raise InputError(f"--seeds {text} names a seed twice; name each once")
        return numbers
    if numbers[0] < 1:
        raise InputError("--seeds 0 runs nothing; give at least 1, or write 0, for the seed 0 alone")
    return numbers[0]


def print_result(out: Console, result: Result) -> None:
    """Print one run: heading, claims, notes, and the report's path last."""
    from trued.lab.rows import TINY, TINY_SHOWS, claim_rows
    from trued.lab.wording import duration, seed_names

    evidence = result.evidence
    seeds = seed_names(evidence.seeds)
    out.print(Text.assemble((evidence.slug, "bold"), "  ", evidence.title))
    out.print(Text(f"{evidence.model} · {evidence.scale} scale · {seeds} · {duration(evidence.seconds)}", "dim"))
    for name, value in result.model.items():
        out.print(Text(f"{name}: {value}", "dim"), soft_wrap=True)
    out.print()
    out.print(claims_table(claim_rows(evidence), out.width))
    if evidence.scale == TINY:
        out.print(f"\n {TINY_SHOWS}")
    for note in evidence.notes:
        out.print()
        out.print(Padding(f"limit: {note}", (0, 0, 0, 1)))
    out.print(f"\n again   trued run {evidence.slug} --scale {evidence.scale} --fresh")
    # A path is never folded, so that it can be copied or clicked.
    out.print(f" report  {result.report}", soft_wrap=True)


def _selected(slugs: tuple[str, ...], *, every: bool, field: Field | None) -> list[str]:
    """Return which papers to run; all are looked up before anything heavy is imported."""
    if every:
        if slugs:
            raise InputError(f"--all and {slugs[0]!r} together; give the papers' names, or --all")
        cards = catalogue.cards().values()
        with_experiment = [
            card.slug for card in cards if catalogue.state(card.slug) == "runs" and field in (None, card.field)
        ]  # fmt: skip
        if not with_experiment:
            raise InputError(f"no paper of the field {field} runs yet; `trued papers list` shows which do")
        return with_experiment
    if field is not None:
        raise InputError(f"--field {field} goes with --all; write `trued run --all --field {field}`")
    running = [slug for slug in catalogue.slugs() if catalogue.state(slug) == "runs"]
    if not slugs:
        raise InputError(f"name a paper that runs ({', '.join(running)}), or --all")
    for slug in slugs:
        if catalogue.state(slug) != "runs":
            hint = nearest(slug, running) or "; `trued papers list --state runs` shows those that run"
            raise InputError(f"{slug} has a card but no experiment yet{hint}")
    return list(dict.fromkeys(slugs))


def _carry_out(
    slugs: list[str], on: Literal["local", "ray"], options: dict[str, Any]
) -> tuple[list[Result], dict[str, str]]:
    """Run one experiment here with its progress shown, or several side by side; return results, and what failed."""
    from trued.lab import executor

    if len(slugs) == 1 and on == "local":
        return [executor.run(slugs[0], **options)], {}
    outcomes = executor.fan_out(slugs, on=on, **options)
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    return results, {outcome.slug: outcome.error for outcome in outcomes if outcome.result is None}


def _confirm(slugs: list[str], folder: Path, *, every: bool, as_json: bool) -> int:
    """Confirm the evidence of each paper and print what was decided; with --all, of those that have evidence."""
    from trued.lab import committed

    present = [slug for slug in slugs if committed.path_of(slug, folder).is_file()]
    if not present or (len(present) < len(slugs) and not every):
        missing = next(slug for slug in slugs if slug not in present)
        raise InputError(
            f"{committed.path_of(missing, folder)} is not there; `trued run {missing} --evidence {folder}` makes it"
        )
    for slug in present:
        committed.read(slug, folder)  # all are whole before the first one runs
    decisions = []
    for slug in present:
        decision = committed.confirm(slug, folder, progress=True)
        decisions.append(decision)
        if not as_json:
            out = console()
            out.print(f"{slug}: {'fresh' if decision.fresh else 'stale'}: {decision.why}", soft_wrap=True)
            for line in decision.differences:
                out.print(Padding(Text(line), (0, 0, 0, 2)))
    if as_json:
        print_json([asdict(decision) for decision in decisions])
    return 0 if all(decision.fresh for decision in decisions) else 1


def _for_machines(result: Result) -> dict[str, Any]:
    """Return a result as JSON; that of a tiny run has no verdicts."""
    from trued.lab.rows import RAN, TINY

    evidence = result.evidence.to_json()
    if result.evidence.scale == TINY:
        evidence["assessments"] = dict.fromkeys(evidence["assessments"], RAN)
    return {"report": str(result.report), "folder": str(result.folder), "model": result.model, "evidence": evidence}
