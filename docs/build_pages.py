"""What the documentation has to say twice: paper pages, command reference and README tables, made from one source.

Knows cards, committed evidence and the command line. Everything printed here is read from them; nothing is typed in.
Writes docs/papers/ and docs/cli.md, which are not committed, and the marked tables in README.md and docs/attacks.md,
which are.

    python docs/build_pages.py            write everything
    python docs/build_pages.py --readme   refresh the committed tables only

docs/suite/ holds what `trued attack suite --json` and `trued check --json` printed for several models; docs/attacks.md
says how.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from trued.files import whole_folder, write_text
from trued.lab import committed
from trued.lab.evidence import Evidence, is_stale
from trued.lab.rows import ClaimRow, claim_rows, counts
from trued.lab.wording import duration, memory
from trued.papers import catalogue
from trued.papers.card import Card, Claim

DOCS = Path(__file__).parent
EVIDENCE = DOCS / "evidence"
README = DOCS.parent / "README.md"
ATTACKS = DOCS / "attacks.md"
SUITE = DOCS / "suite" / "results.json"
USEFUL = SUITE.with_name("useful.json")
HARMLESS = {
    "over-refusal.lookalikes": "*harmless, looks harmful*: refused", "over-refusal.general": "*harmless*: refused",
}  # fmt: skip
AT_LEAST = {"higher": "higher by at least", "lower": "lower by at least", "equal": "equal within"}


def main() -> None:
    """Write the README's tables and, unless only these are asked for, the pages."""
    evidence = committed_evidence()
    write_text(README, with_table(README.read_text(encoding="utf-8"), "papers", papers_table(evidence)))
    write_text(ATTACKS, with_table(ATTACKS.read_text(encoding="utf-8"), "suite", suite_table(committed_suite())))
    if "--readme" not in sys.argv[1:]:
        write_pages(DOCS / "papers", evidence)
        write_text(DOCS / "cli.md", command_reference())


def committed_evidence() -> dict[str, Evidence]:
    """Return the evidence in docs/evidence by slug."""
    return committed.read_all(EVIDENCE)


def committed_suite() -> dict[str, Any] | None:
    """Return the results of the suite over several models, or None before they were first measured.

    What harmless requests each model refuses is under "useful": a model that refuses everything is broken by nothing.
    """
    if not SUITE.is_file():
        return None
    return json.loads(SUITE.read_text(encoding="utf-8")) | {"useful": json.loads(USEFUL.read_text(encoding="utf-8"))}


def with_table(page: str, name: str, table: str) -> str:
    """Return a page with the table between its markers made anew.

    Raises:
        ValueError: the markers are missing.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no {begin} … {end}; put both where the table belongs")
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", page)


def suite_table(suite: Mapping[str, Any] | None) -> str:
    """Return attack by model, each cell the share of behaviours broken with its interval, and how it was measured."""
    if suite is None:
        return "Not measured yet: [`docs/suite/run.sh`](docs/suite/run.sh) makes this table."
    models = suite["models"]
    attacks = dict.fromkeys(result["attack"] for model in models for result in model["attacks"])
    lines = [f"| attack | {' | '.join(model['model'] for model in models)} |", "|---|" + "---|" * len(models)]
    for attack in attacks:
        cells = []
        for model in models:
            result = next((row for row in model["attacks"] if row["attack"] == attack), None)
            cells.append("–" if result is None else _share(result))
        lines.append(f"| {attack} | {' | '.join(cells)} |")
    for metric, label in HARMLESS.items():
        cells = [_share(_metric(suite["useful"][model["model"]]["metrics"], metric)) for model in models]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    harmless = suite["useful"][models[0]["model"]]
    request_counts = [_metric(harmless["metrics"], metric)["n"] for metric in HARMLESS]
    protocol, calibration = suite["protocol"], suite["calibration"]
    lines += [
        "",
        f"Share of {protocol['behaviors']['count']} behaviours broken, unknown replies counted either way, and of "
        f"{' and '.join(map(str, request_counts))} harmless requests refused; 95 % Wilson intervals; "
        f"{protocol['decoding']}; judge {protocol['judge']}, which agrees with people on "
        f"{calibration['accuracy']:.0%} of {calibration['replies']} labelled replies, and for harmless requests "
        f"{harmless['judge']}; seed {protocol['seed']}.",
    ]
    return "\n".join(lines)


def _share(rate: Mapping[str, Any]) -> str:
    value = rate["asr"] if "asr" in rate else rate["value"]
    bound = "≥ " if rate["lower_bound"] and value < 1 else ""
    return f"{bound}{100 * value:.0f} % [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


def _metric(metrics: Iterable[Mapping[str, Any]], metric: str) -> Mapping[str, Any]:
    return next(row for row in metrics if row["id"] == metric)


def papers_table(evidence: Mapping[str, Evidence]) -> str:
    """Return one row for each paper that runs, with its verdicts here."""
    lines = ["| paper | verdicts here | model |", "|---|---|---|"]
    for card in catalogue.cards().values():
        if catalogue.state(card.slug) != "runs":
            continue
        result = evidence.get(card.slug)
        verdicts = counts(claim_rows(result)) if result else "no evidence committed yet"
        stale = ", stale" if result and is_stale(result) else ""
        model = _cell(result.model) if result else "–"
        lines.append(f"| `{card.slug}` {_linked(card)} | {verdicts}{stale} | {model} |")
    return "\n".join(lines)


def write_pages(folder: Path, evidence: Mapping[str, Evidence]) -> None:
    """Write a page a paper, their index, and copies of the figures that the pages show."""
    with whole_folder(folder, kind="pages", own=lambda old: (old / "index.md").is_file()) as work:
        for card in catalogue.cards().values():
            measured = evidence.get(card.slug)
            write_text(work / f"{card.slug}.md", page(card, measured))
            for _, file in committed.figures(measured, EVIDENCE) if measured else ():
                (work / "figures" / card.slug).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, work / "figures" / card.slug)
        write_text(work / "index.md", index(list(catalogue.cards().values()), evidence))


def index(cards: list[Card], evidence: Mapping[str, Evidence]) -> str:
    """Return the page that lists all papers, by field."""
    lines = ["# Papers", "", f"{len(cards)} papers, each a card with the claims that can be checked.", ""]
    for field, group in groupby(sorted(cards, key=lambda card: (card.field, card.slug)), key=lambda card: card.field):
        lines += [f"## {field.capitalize()}", "", "| paper | title | date | state |", "|---|---|---|---|"]
        for card in group:
            measured = evidence.get(card.slug)
            state = counts(claim_rows(measured)) if measured else catalogue.state(card.slug)
            lines.append(f"| [{card.slug}]({card.slug}.md) | {_cell(card.title)} | {card.date} | {state} |")
        lines.append("")
    return "\n".join(lines)


def page(card: Card, evidence: Evidence | None) -> str:
    """Return the page of a paper: facts, summary, and its claims with what the evidence says of each."""
    by = card.organisation or (f"{card.authors} authors" if card.authors else None)
    facts = {
        "date": str(card.date),
        "by": by,
        "arXiv": f"[{card.arxiv}]({card.url})" if card.url else None,
        "upstream code": f"<{card.code}>" if card.code else None,
        "field": f"{card.field} ({', '.join(card.modalities)})",
        "run it": f"`trued run {card.slug}`" if catalogue.state(card.slug) == "runs" else "planned",
    }
    lines = [f"# {card.title}", "", f"`{card.slug}`", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items() if value]
    lines += ["", card.summary, ""]
    if card.details:
        lines += ["## Implementation details that matter", "", *(f"- {detail}" for detail in card.details), ""]
    lines += ["## Claims", ""]
    if evidence is not None:
        lines += _verdicts(evidence)
    else:
        for claim in card.claims:
            lines += _claim(claim, None)
    return "\n".join(lines) + "\n"


def _verdicts(evidence: Evidence) -> list[str]:
    rows = {row.id: row for row in claim_rows(evidence)}
    seeds = ", ".join(map(str, evidence.seeds))
    lines = [
        f"Measured on {evidence.model} at {evidence.scale} scale, seeds {seeds}, {evidence.date[:10]}: "
        f"**{counts(list(rows.values()))}**.",
        "",
    ]
    if is_stale(evidence):
        lines += ["!!! warning", "    The code has changed since this was measured; run it again.", ""]
    for claim in evidence.claims:
        lines += _claim(claim, rows[claim.id])
    lines += _figures(evidence)
    if evidence.notes:
        lines += ["## What this scale cannot show", "", *(f"- {note}" for note in evidence.notes), ""]
    circumstances = {
        **evidence.settings,
        **evidence.protocol,
        "time": duration(evidence.seconds),
        "peak memory": memory(evidence.peak_memory),
        **evidence.versions,
        **evidence.platform,
    }
    lines += ["## How it was measured", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in circumstances.items()]
    return lines


def _figures(evidence: Evidence) -> list[str]:
    lines: list[str] = []
    for figure, file in committed.figures(evidence, EVIDENCE):
        place = f"figures/{evidence.slug}/{file.name}"
        lines += [f"### {figure.name}", "", f"![{figure.alt}]({place})", "", figure.alt, ""]
    return ["## Figures", "", *lines] if lines else []


def _claim(claim: Claim, row: ClaimRow | None) -> list[str]:
    margin = f"a factor of {claim.margin.value:g}" if claim.margin.ratio else f"{claim.margin} {claim.unit}"
    lines = [f"### {claim.says}", "", "| | |", "|---|---|"]
    lines += [f"| metric | {_cell(claim.metric)} |", f"| passes if | {AT_LEAST[claim.better]} {margin} |"]
    if claim.paper:
        known = [f"{value:g}" for value in (claim.paper.baseline, claim.paper.method) if value is not None]
        lines.append(f"| paper | {' → '.join(known)} {_cell(claim.paper.unit)} ({_cell(claim.paper.where)}) |")
    if row is None:
        return [*lines, *([f"| must not pass | {_cell(claim.control)} |"] if claim.control else []), ""]
    lines += [f"| here | {_cell(row.ours)} {_cell(row.interval)} |", f"| verdict | **{row.verdict}** |"]
    lines += [f"| control | {_cell(row.control)} |"] if row.control else []
    return [*lines, "", row.why, ""]


def command_reference() -> str:
    """Return the reference of all commands, from the commands themselves."""
    from trued.cli.main import app

    text = str(app.generate_docs(output_format="markdown", recursive=True))
    return text.replace("# trued\n", f"# Command line\n\n{app.help_epilogue}\n", 1)


def _linked(card: Card) -> str:
    return f"[{_cell(card.title)}]({card.url})" if card.url else _cell(card.title)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


if __name__ == "__main__":
    main()
