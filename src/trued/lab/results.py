"""The results folder of a run: evidence.json, figures, and the report that shows both.

Knows evidence, exhibits and the report's blocks. Knows nothing of HTML, and nothing of what an experiment does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trued.errors import InputError
from trued.files import claim_output, mark_folder, write_text
from trued.lab.evidence import Evidence, from_json
from trued.lab.lab import MODEL
from trued.lab.report import (
    Block,
    Claims,
    Example,
    Examples,
    Figure,
    KeyValues,
    Prose,
    Report,
    Section,
    Table,
    render,
)
from trued.lab.rows import TINY, TINY_SHOWS, claim_rows, counts
from trued.lab.runs import RunStore
from trued.lab.wording import duration, memory, seed_names

RUNS = Path("runs")
RESULTS = "results"
"""What the folder of a run is called among the kinds of output."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        evidence: what was measured, and the verdicts.
        report: the HTML file.
        folder: where report, evidence and figures lie.
        model: where the model lies and comes from, with a hash of its weights; empty where the experiment has none.
    """

    evidence: Evidence
    report: Path
    folder: Path
    model: Mapping[str, Any] = field(default_factory=dict)


def rewrite(run_id: str, output: str | Path | None = None, *, store: RunStore | None = None) -> Result:
    """Write the report of a finished run again, from the store.

    Raises:
        InputError: no such run, or it is not finished.
    """
    row = (store or RunStore()).row(run_id)
    if row.evidence is None:
        raise InputError(
            f"run {row.id[:8]} of {row.slug} is {row.status}, not finished; `trued run {row.slug}` continues"
        )
    return write_results(from_json(row.evidence, f"run {row.id[:8]}"), row.exhibits or [], output)


def write_results(evidence: Evidence, exhibits: list[dict[str, Any]], output: str | Path | None = None) -> Result:
    """Write evidence.json, figures/*.svg and report.html, each file atomically, the report last.

    Raises:
        InputError: `output` holds files of others.
    """
    folder = claim_results(output) or _free_folder(evidence)
    evidence.write(folder / "evidence.json")
    for exhibit in exhibits:
        if exhibit["kind"] == "figure":
            write_text(folder / "figures" / f"{figure_name(exhibit['name'])}.svg", exhibit["svg"])
    report = write_text(folder / "report.html", render(evidence_report(evidence, exhibits)))
    mark_folder(folder, RESULTS)
    return Result(evidence, report, folder, _model_facts(exhibits))


def claim_results(output: str | Path | None) -> Path | None:
    """Return the folder that results go to, None for a new one in runs/, once it is known that they can be written.

    Raises:
        InputError: the folder holds files of others, or nothing can be written there.
    """
    if output is None:
        claim_output(RUNS / "new", kind=RESULTS)
        return None
    folder = claim_output(output, kind=RESULTS, whole=False)
    if folder.is_file():
        raise InputError(f"{output} is a file, and results are a folder: give another output")
    return folder


def evidence_report(evidence: Evidence, exhibits: Sequence[Mapping[str, Any]] = ()) -> Report:
    """Return the report of a run.

    Args:
        evidence: what was measured.
        exhibits: figures, tables, examples and the model as `Lab.exhibits` returns them.
    """
    rows = claim_rows(evidence)
    figures = [
        Figure(exhibit["name"], exhibit["svg"], exhibit["alt"], exhibit["caption"])
        for exhibit in exhibits
        if exhibit["kind"] == "figure"
    ]
    examples = [
        Example(exhibit["title"], exhibit["before"], exhibit["after"], exhibit["note"])
        for exhibit in exhibits
        if exhibit["kind"] == "example"
    ]
    facts = _model_facts(exhibits)
    sections: list[tuple[str, list[Block]]] = [
        ("Claims", [Claims(rows)]),
        ("Figures", list(figures)),
        ("Tables", [_table(exhibit) for exhibit in exhibits if exhibit["kind"] == "table" and exhibit["rows"]]),
        ("Answers before and after", [Examples(examples)] if examples else []),
        ("What this scale cannot show", [Prose(evidence.notes)] if evidence.notes else []),
        ("Model", [KeyValues(facts)] if facts else []),
        ("Settings", [KeyValues({**evidence.settings, **evidence.protocol})]),
        ("Versions, machine and cost", [KeyValues(_provenance(evidence))]),
    ]
    return Report(
        title=evidence.title,
        kicker=evidence.slug,
        link=f"https://arxiv.org/abs/{evidence.arxiv}" if evidence.arxiv else None,
        facts=[
            *([f"arXiv {evidence.arxiv}"] if evidence.arxiv else []),
            evidence.model,
            f"{evidence.scale} scale",
            seed_names(evidence.seeds),
            duration(evidence.seconds),
            evidence.date[:10],
        ],
        lead=TINY_SHOWS
        if evidence.scale == TINY
        else f"{_claims(len(rows))} of the paper, tested here: {counts(rows)}.",
        sections=[Section(title, blocks) for title, blocks in sections if blocks],
        footer=f"Written by trued {evidence.versions.get('trued', '')}. Again: trued run {evidence.slug} "
        f"--scale {evidence.scale}."
        + ("" if evidence.scale == TINY else " Verdicts are computed from the intervals and the margins on its card."),
    )


def _claims(number: int) -> str:
    return f"{number} claim{'s' if number != 1 else ''}"


def figure_name(title: str) -> str:
    """Return a title as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "figure"


def _model_facts(exhibits: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((exhibit["facts"] for exhibit in exhibits if exhibit["kind"] == MODEL), {})


def _free_folder(evidence: Evidence) -> Path:
    """Return `runs/<date>-<slug>-<scale>`, with a number behind it if an earlier run of the day has that name."""
    base = RUNS / f"{evidence.date[:10]}-{evidence.slug}-{evidence.scale}"
    names = [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 1000))]
    return next(folder for folder in names if not folder.exists())


def _table(exhibit: Mapping[str, Any]) -> Table:
    rows = exhibit["rows"]
    columns = list(rows[0])
    caption = f"{exhibit['name']}. {exhibit['caption']}" if exhibit["caption"] else exhibit["name"]
    return Table(columns, [[row[name] for name in columns] for row in rows], caption)


def _provenance(evidence: Evidence) -> dict[str, Any]:
    return {
        "time": duration(evidence.seconds),
        "peak memory": memory(evidence.peak_memory),
        "seeds": list(evidence.seeds),
        **evidence.versions,
        **evidence.platform,
        "modules": list(evidence.modules),
        "source": evidence.method_digest[:12],
        "finished": evidence.date.replace("T", " "),
    }
