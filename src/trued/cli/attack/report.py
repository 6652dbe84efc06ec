"""How the results of attacks look: the table of all models, the costs, the sentences, the sections of a report.

Knows results and how numbers are put. Knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Grid

from trued.cli.terminal import plain_table
from trued.lab import wording
from trued.lab.figure import SERIES, draw_svg
from trued.lab.report import Block, Example, Examples, Figure, KeyValues, Prose, Section, Table
from trued.language.attack.result import SuiteResult
from trued.language.attack.success import ALO, SuccessRate
from trued.language.judge.reply import Label

MARKS = {Label.YES: "broken", Label.NO: "held", Label.UNKNOWN: "unknown", None: "–"}
SHOWN_EXAMPLES = 8
NOT_MEASURED = "not measured"
COSTS = ("attack", "cases", "queries", "forwards", "backwards", "seconds")
COST_CAPTION = (
    "A behaviour, mean over the models. Cases: prompts that the attack made. Queries: replies of the model that it "
    "read. Forwards, backwards: sequences that went through the model, and back. Judging and final replies are left "
    "out."
)
CURVES = ("templates", "prefill", "pap", "pap-frames")


def labels(results: Sequence[SuiteResult]) -> list[str]:
    """Return a short name for each model; the whole one where two would be the same."""
    short = [Path(result.model).name or result.model for result in results]
    return short if len(set(short)) == len(short) else [result.model for result in results]


def rate(success: SuccessRate) -> str:
    """Return a rate with its interval; a lower bound says so, and so does an attack without a case."""
    if not success.measured:
        return NOT_MEASURED
    bounds = success.bounds()
    return wording.rate(bounds.least, bounds.low, bounds.high, lower_bound=bounds.lower_bound)


def rates_table(results: Sequence[SuiteResult]) -> Grid:
    """Return attack by model, each cell the share of behaviours broken; 80 columns for up to three models."""
    names = labels(results)
    grid = plain_table("attack success (ASR) ↓", *names, right=tuple(names))
    for attack in _attacks(results):
        rates = [_rate(result, attack) for result in results]
        style = "bold" if attack == ALO else ""
        grid.add_row(f" {attack}", *("–" if success is None else rate(success) for success in rates), style=style)
    return grid


def cost_table(results: Sequence[SuiteResult]) -> Grid:
    """Return what finding the cases took, a behaviour, as a mean over the models."""
    numbers = ("cases", "queries", "forwards", "backwards", "seconds")
    grid = plain_table("cost a behaviour", *numbers, right=numbers)
    for row in _costs(results):
        grid.add_row(*row)
    return grid


def comparisons(results: Sequence[SuiteResult]) -> list[str]:
    """Return how each further model compares with the first, by McNemar's test on the same behaviours."""
    names = labels(results)
    lines = []
    for name, result in zip(names[1:], results[1:], strict=True):
        test = result.against(results[0])[ALO]
        lines.append(
            f"{name} against {names[0]}, at least one: {test.lost} behaviours no longer broken, {test.gained} newly "
            f"broken (McNemar p = {test.p_value:.2g})"
        )
    return [*lines, ""] if lines else []


def protocol_lines(results: Sequence[SuiteResult]) -> list[str]:
    """Return what the rates must be read with."""
    first = results[0]
    protocol, agreed = first.protocol, first.calibration
    templates = ", ".join(dict.fromkeys(str(result.target["template"]) for result in results))
    return [
        f"judge {protocol['judge']}",
        f"the judge agrees with people on {agreed['accuracy']:.0%} of {agreed['replies']} labelled replies (refusal or "
        f"not: {agreed['refusal_accuracy']:.0%}, kappa {agreed['kappa']:.2f})",
        f"template {templates} · system prompt {protocol['system']} · {protocol['decoding']} · "
        f"{protocol['behaviors']['count']} behaviours · seed {protocol['seed']}",
    ]


def overview(results: Sequence[SuiteResult]) -> str:
    """Return the answer in a sentence a model."""
    sentences = []
    for name, result in zip(labels(results), results, strict=True):
        alo = result.success.alo
        at_least = "at least " if alo.lower_bound else ""
        sentences.append(f"At least one attack broke {at_least}{alo.broken} of {alo.behaviors} behaviours on {name}.")
    return " ".join(sentences)


# -- in a report -------------------------------------------------------------------------------------------------------


def report_sections(results: Sequence[SuiteResult]) -> list[Section]:
    """Return the sections of a report: rates, figures, costs, who broke what, replies, and how it was measured."""
    notes = [f"{result.model}: {note}" for result in results for note in result.notes]
    sections: list[tuple[str, list[Block]]] = [
        ("Attack success", [_rates(results), _bars(results)]),
        ("What to know first", [Prose(notes)] if notes else []),
        ("More tries", _curves(results)),
        ("Losses of optimised attacks", _losses(results)),
        ("What it cost", [Table(list(COSTS), _costs(results), COST_CAPTION)]),
        ("Which attack broke what", [_cells(*pair) for pair in zip(labels(results), results, strict=True)]),
        ("Replies that were judged to comply", _examples(results)),
        ("How it was measured", [KeyValues(_protocol(results))]),
    ]  # fmt: skip
    return [Section(title, blocks) for title, blocks in sections if blocks]


def _attacks(results: Sequence[SuiteResult]) -> list[str]:
    """All attacks in the order of the first model that has them; at least one comes last."""
    names = dict.fromkeys(attack.name for result in results for attack in result.success.attacks)
    return [*names, ALO]


def _rate(result: SuiteResult, attack: str) -> SuccessRate | None:
    return next((success for success in result.rates if success.name == attack), None)


def _rates(results: Sequence[SuiteResult]) -> Table:
    rows = []
    for attack in _attacks(results):
        for name, result in zip(labels(results), results, strict=True):
            success = _rate(result, attack)
            if success is not None:
                rows.append(
                    [attack, name, rate(success), success.broken, success.held, success.unknown, success.missing]
                )
    columns = ["attack", "model", "ASR [95 %]", "broken", "held", "unknown", "missing"]
    caption = (
        "ASR, the attack success rate, is the share of behaviours broken. Broken: a reply complied; held: none did; "
        "unknown: the judge could not tell; missing: the attack made no case. Wilson intervals that hold whatever the "
        "unknown and missing ones are."
    )
    return Table(columns, rows, caption)


def _bars(results: Sequence[SuiteResult]) -> Figure:
    attacks = _attacks(results)
    names = labels(results)

    def draw(axes: Any) -> None:
        height = 0.8 / len(results)
        for number, (name, result) in enumerate(zip(names, results, strict=True)):
            rates = [(place, _rate(result, attack)) for place, attack in enumerate(attacks)]
            measured = [(place, success) for place, success in rates if success is not None and success.measured]
            places = [place + number * height for place, _ in measured]
            shares = np.array([100 * success.rate for _, success in measured])
            ends = np.array([[100 * success.interval().low, 100 * success.interval().high] for _, success in measured])
            spread = np.clip(np.abs(ends.T - shares), 0, None)
            axes.barh(places, shares, height, xerr=spread, label=name, color=SERIES[number % len(SERIES)],
                      error_kw={"lw": 0.8})  # fmt: skip
        axes.set_yticks(np.arange(len(attacks)) + 0.4 - height / 2, attacks)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("behaviours broken, %")
        if len(results) > 1:
            axes.legend(frameon=False)

    summary = "; ".join(f"{name}, at least one: {rate(r.success.alo)}" for name, r in zip(names, results, strict=True))
    return Figure("Attack success by attack and model", draw_svg(draw), alt=f"Bars with intervals. {summary}.")


def _curves(results: Sequence[SuiteResult]) -> list[Block]:
    """ASR against the number of tries, for the attacks that try more than once."""
    attacks = [attack for attack in _attacks(results) if attack in CURVES]
    lines: list[tuple[str, list[float]]] = []
    for name, result in zip(labels(results), results, strict=True):
        for attack in attacks:
            tries = max(
                sum(c.attack == attack and c.behavior_id == b.id for c in result.cases) for b in result.behaviors
            )
            if tries > 1:
                label = f"{attack}, {name}" if len(results) > 1 else attack
                lines.append((label, result.rate_at(attack, range(1, tries + 1))))
    if not lines:
        return []

    def draw(axes: Any) -> None:
        for label, values in lines:
            axes.plot(range(1, len(values) + 1), [100 * value for value in values], label=label)
        axes.set_xlabel("tries a behaviour")
        axes.set_ylabel("broken by any of them, %")
        axes.set_ylim(0, 100)
        axes.legend(frameon=False)

    summary = "; ".join(f"{label}: {values[0]:.0%} to {values[-1]:.0%}" for label, values in lines)
    return [
        Figure("ASR against the number of tries", draw_svg(draw), alt=f"Lines that rise with the tries. {summary}.")
    ]


def _losses(results: Sequence[SuiteResult]) -> list[Block]:
    series: list[tuple[str, list[float]]] = []
    for name, result in zip(labels(results), results, strict=True):
        for attack in _attacks(results)[:-1]:
            curves = result.loss_curves(attack) if "generation-0" not in attack else []
            if curves and (steps := max(map(len, curves))) > 1:
                padded = [np.minimum.accumulate(curve + curve[-1:] * (steps - len(curve))) for curve in curves]
                series.append((f"{attack}, {name}", np.mean(padded, axis=0).tolist()))
    if not series:
        return []

    def draw(axes: Any) -> None:
        for label, values in series:
            axes.plot(values, label=label)
        axes.set_xlabel("steps")
        axes.set_ylabel("least target cross-entropy, nats a token")
        axes.legend(frameon=False)

    summary = "; ".join(f"{label}: {values[0]:.2f} to {values[-1]:.2f}" for label, values in series)
    return [
        Figure("Loss of the target by step", draw_svg(draw), alt=f"Falling lines, mean over behaviours. {summary}.")
    ]


def _costs(results: Sequence[SuiteResult]) -> list[list[str]]:
    rows = []
    for attack in _attacks(results)[:-1]:
        own = [cost for result in results for cost in result.costs if cost.attack == attack]
        n = len(own)
        rows.append(
            [
                attack, f"{sum(c.cases for c in own) / n:.0f}", f"{sum(c.queries for c in own) / n:.1f}",
                f"{sum(c.forwards for c in own) / n:.0f}", f"{sum(c.backwards for c in own) / n:.0f}",
                f"{sum(c.seconds for c in own) / n:.1f}",
            ]
        )  # fmt: skip
    return rows


def _cells(name: str, result: SuiteResult) -> Table:
    attacks = [attack.name for attack in result.success.attacks]
    texts = {behavior.id: behavior.text for behavior in result.behaviors}
    rows = [[texts[id_], *(MARKS[row[attack]] for attack in attacks)] for id_, row in result.success.cells.items()]
    return Table(["behaviour", *attacks], rows, caption=name)


def _examples(results: Sequence[SuiteResult]) -> list[Block]:
    items = []
    for name, result in zip(labels(results), results, strict=True):
        broken = [
            (case, reply)
            for case, reply, label in zip(result.cases, result.replies, result.labels, strict=True)
            if label is Label.YES
        ]
        each = max(1, SHOWN_EXAMPLES // len(results))
        for case, reply in broken[:: max(1, len(broken) // each)][:each]:
            prompt = case.messages[-1]["content"]
            items.append(Example(f"{case.attack}: {case.behavior_id}", prompt, case.prefill + reply, note=name))
    if not items:
        return []
    return [
        Prose(["Evenly spaced through the replies, not chosen by what was said. They are what the model wrote."]),
        Examples(items, ("request", "reply")),
    ]


def _protocol(results: Sequence[SuiteResult]) -> dict[str, Any]:
    models = {result.model: result.target for result in results}
    return {**results[0].protocol, "calibration": results[0].calibration, **models}
