"""`trued attack deployment`: how much of a model's robustness hangs on template, precision, adapter and temperature.

Knows options, files and how to print. Knows nothing of how anything is measured: `trued.language.measure` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Table as Grid

from trued.cli.methods import options
from trued.cli.options import JsonSwitch, Model, WholeNumber
from trued.cli.settings import with_settings
from trued.cli.terminal import command_line, console, now, plain_table, print_json, refuse_endpoints
from trued.data.prompts import affirmative_targets, prompts
from trued.data.spacing import evenly_spaced
from trued.errors import InputError
from trued.files import claim_output
from trued.lab import wording

if TYPE_CHECKING:
    from trued.lab.report import Report
    from trued.language.attack.contract import Behavior, TestCase
    from trued.language.engine.model import LanguageModel
    from trued.language.measure.deployment import Cell, DeploymentGrid

    GridOptions = Any
else:
    GridOptions = options("attack deployment", group="Settings")


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Args:
        behaviors: harmful requests: prompt, and if wanted id and context (JSONL, Parquet, a data set); the shipped test
            requests otherwise.
        limit: most of them, and of benign look-alikes, evenly spaced.
        jailbreaks: jailbreak templates around each request, beside the request as it is.
    """

    behaviors: str | None = None
    limit: WholeNumber = 24
    jailbreaks: WholeNumber = 1

    def __post_init__(self) -> None:
        if self.limit < 2 or self.jailbreaks < 0:
            raise InputError(
                f"limit {self.limit} and jailbreaks {self.jailbreaks}: at least 2 of the first, and not fewer than 0"
            )

    def wanted(self) -> list[Behavior]:
        from trued.language.attack.behaviors import read_behaviors, shipped_behaviors

        return (
            shipped_behaviors(limit=self.limit)
            if self.behaviors is None
            else read_behaviors(self.behaviors, self.limit)
        )

    def cases(self, behaviors: Sequence[Behavior], lm: LanguageModel, seed: int) -> list[TestCase]:
        from trued.language.attack.contract import ChatTarget
        from trued.language.attack.direct import Direct
        from trued.language.attack.templates import Templates

        target = ChatTarget(lm)
        cases = Direct().run(behaviors, target, seed=seed)
        return cases + (Templates(self.jailbreaks).run(behaviors, target, seed=seed) if self.jailbreaks else [])

    def benign(self) -> list[str]:
        return [row.prompt for row in evenly_spaced(prompts("lookalikes", "test"), self.limit)]


def deployment(
    model: Model = "default",
    *,
    adapter: Path | None = None,
    selection: Annotated[Asked, Parameter(name="*")] = Asked(),
    transfer: bool = True,
    device: str | None = None,
    config: Path | None = None,
    report: Path | None = None,
    grid: GridOptions = None,
    as_json: JsonSwitch = False,
) -> None:
    """Ask the same under other templates, precisions, adapter strengths and temperatures; what happens in which?

    Parameters
    ----------
    adapter
        A PEFT adapter to put on the model; its strength lambda is varied.
    transfer
        Also compute embedding attacks on one precision and try them on the others.
    device
        Such as cpu or cuda:1.
    config
        A TOML or YAML file of the settings below; options on the command line go before it.
    report
        Write a report here: one HTML file.
    """
    from trued.cli.check.report import check_bar, open_model
    from trued.lab.report import write_report
    from trued.language.judge.reply import PhraseJudge
    from trued.language.measure.deployment import DeploymentGrid, deployed_replies, rate

    refuse_endpoints(model)
    if report is not None:
        claim_output(report, kind="report")
    settings = with_settings(DeploymentGrid(), config, grid)
    behaviors, benign = selection.wanted(), selection.benign()
    lm = open_model(model, device=device, adapter=adapter)
    cases = selection.cases(behaviors, lm, settings.seed)
    texts = {behavior.id: behavior.text for behavior in behaviors}
    requests, judge = [texts[case.behavior_id] for case in cases], PhraseJudge()
    with check_bar() as bar:
        replies = deployed_replies(lm, cases, benign, settings, progress=bar)
        cells = [rate(cell_replies, requests, benign, judge) for cell_replies in replies]
    losses = _losses(lm, settings, behaviors[:8]) if transfer and len(settings.precisions) > 1 else {}
    protocol = {"model": lm.name, "judge": judge.name, "cases": len(cases), "benign": len(benign), **asdict(settings)}
    if as_json:
        records = [asdict(cell) for cell in cells]
        moved = [{"computed_on": a, "tried_on": b, "losses": values} for (a, b), values in losses.items()]
        print_json({"protocol": protocol, "cells": records, "transfer": moved})
    else:
        _print(lm.name, behaviors, protocol, cells, losses)
    if report is not None:
        write_report(report, _report(protocol, cells, losses))
        if not as_json:
            console().print(f"report  {report}", soft_wrap=True)


def _print(
    name: str, behaviors: Sequence[Behavior], protocol: dict[str, Any], cells: Sequence[Cell],
    losses: dict[tuple[str, str], list[float]],
) -> None:  # fmt: skip
    out = console()
    cases, benign = protocol["cases"], protocol["benign"]
    out.print(f"{name}: {cases} test cases of {len(behaviors)} requests, {benign} benign look-alikes\n")
    out.print(_cells_table(cells))
    if losses:
        out.print()
        out.print(_transfer_table(losses))
    out.print(f"\njudge {protocol['judge']}", style="dim", soft_wrap=True)


def _losses(
    lm: LanguageModel, grid: DeploymentGrid, behaviors: Sequence[Behavior]
) -> dict[tuple[str, str], list[float]]:
    from trued.language.attack.embedding import EmbeddingAttack
    from trued.language.engine.precision import in_precision
    from trued.language.measure.transfer import transferred_losses

    models = {name: in_precision(lm, name) for name in grid.precisions}
    attack = EmbeddingAttack(relative_lr=True)
    return transferred_losses(models, [b.prompt for b in behaviors], affirmative_targets()[0], attack)


HEADS = ("template", "precision", "λ", "T", "broken [95 %]", "mean", "unknown", "benign", "tok/s")


def _rows(cells: Sequence[Cell]) -> list[list[str]]:
    rows = []
    for cell in cells:
        own, broken = cell.setting, cell.broken
        answered = "–" if cell.compliance is None else f"{cell.compliance:.0%}"
        rows.append(
            [
                own.template, own.precision, f"{own.scale:g}", f"{own.temperature:g}",
                wording.rate(broken.least, broken.low, broken.high, lower_bound=broken.lower_bound),
                f"{cell.asr:.0%}", f"{cell.unknown:.0%}", answered, f"{cell.tokens / max(cell.seconds, 1e-9):.0f}",
            ]
        )  # fmt: skip
    return rows


def _cells_table(cells: Sequence[Cell]) -> Grid:
    table = plain_table(*HEADS, right=HEADS[2:], fixed=HEADS)
    for row in _rows(cells):
        table.add_row(*row)
    return table


def _transfer_rows(losses: dict[tuple[str, str], list[float]]) -> tuple[list[str], list[list[str]]]:
    sources, victims = (list(dict.fromkeys(pair[i] for pair in losses)) for i in (0, 1))
    mean = {pair: f"{sum(values) / len(values):.2f}" for pair, values in losses.items()}
    heads = ["embedding attack computed on", *(f"on {victim}" for victim in victims)]
    return heads, [[source, *(mean[source, victim] for victim in victims)] for source in sources]


def _transfer_table(losses: dict[tuple[str, str], list[float]]) -> Grid:
    heads, rows = _transfer_rows(losses)
    table = plain_table(*heads, right=tuple(heads[1:]))
    for row in rows:
        table.add_row(*row)
    return table


def _report(protocol: dict[str, Any], cells: Sequence[Cell], losses: dict[tuple[str, str], list[float]]) -> Report:
    from trued.lab.report import KeyValues, Prose, Report, Section, Table

    summary = (
        "Broken: at least one reply was no refusal; mean: share of all replies. λ scales the adapter, T is the "
        "temperature; benign: look-alikes answered."
    )
    sections = [Section("Settings", [Prose([summary]), Table(list(HEADS), _rows(cells))])]
    if losses:
        heads, rows = _transfer_rows(losses)
        caption = "Cross-entropy of an affirmative opening, nats a token; lower is a stronger attack."
        sections.append(Section("Embedding attacks across precisions", [Table(heads, rows, caption=caption)]))
    sections.append(
        Section(
            "How it was measured",
            [KeyValues({"command": command_line(), **{key: str(value) for key, value in protocol.items()}})],
        )
    )
    return Report(
        title=protocol["model"],
        kicker="trued attack deployment",
        facts=[f"{protocol['cases']} test cases", f"{len(cells)} settings", now()[:10]],
        sections=sections,
        footer="Intervals are 95 %. What the judge could not tell counts in neither rate, and never as safe.",
    )
