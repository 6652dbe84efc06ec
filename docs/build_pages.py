"""What the documentation has to say twice: paper pages, command reference and README tables, made from one source.

Knows cards, committed evidence and the command line. Everything printed here is read from them; nothing is typed in.
Writes docs/papers/ and docs/cli.md, which are not committed, and the marked tables in README.md, which are.

    python docs/build_pages.py            write everything
    python docs/build_pages.py --readme   refresh the README's tables only
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from trued.files import whole_folder, write_text
from trued.lab.evidence import Evidence, is_stale, load
from trued.lab.results import figure_name
from trued.lab.rows import ClaimRow, claim_rows, counts
from trued.lab.wording import duration, memory
from trued.papers import catalogue
from trued.papers.card import Card, Claim

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
AT_LEAST = {"higher": "higher by at least", "lower": "lower by at least", "equal": "equal within"}


def main() -> None:
    """Write the README's tables and, unless only these are asked for, the pages."""
    evidence = committed_evidence()
    write_text(README, with_tables(README.read_text(encoding="utf-8"), evidence))
    if "--readme" not in sys.argv[1:]:
        write_pages(DOCS / "papers", evidence)
        write_text(DOCS / "cli.md", command_reference())


def committed_evidence() -> dict[str, Evidence]:
    """Return the evidence in docs/evidence by slug; each file is named as its paper is."""
    return {path.stem: load(path) for path in sorted((DOCS / "evidence").glob("*.json"))}


def with_tables(readme: str, evidence: Mapping[str, Evidence]) -> str:
    """Return the README with its papers' table made anew between the markers.

    Raises:
        ValueError: the markers are missing.
    """
    begin, end = "<!-- papers:begin -->", "<!-- papers:end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f"README.md has no {begin} … {end}; put both where the table belongs")
    table = papers_table(catalogue.cards().values(), evidence)
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", readme)


def papers_table(cards: Iterable[Card], evidence: Mapping[str, Evidence]) -> str:
    """Return the papers that run with their verdicts, and the planned ones folded, by field."""
    cards = list(cards)
    running = [card for card in cards if catalogue.state(card.slug) == "runs"]
    lines = ["| paper | what | claims here | model, scale |", "|---|---|---|---|"]
    for card in running:
        found = evidence.get(card.slug)
        verdicts = counts(claim_rows(found)) if found else "no evidence committed yet"
        where = f"{found.model}, {found.scale}" if found else "–"
        lines.append(f"| `{card.slug}` | {_linked(card)} | {verdicts} | {where} |")
    planned = sorted((card for card in cards if card not in running), key=lambda card: (card.field, card.slug))
    if planned:
        lines += ["", f"<details><summary>{len(planned)} papers have a card and are planned</summary>", ""]
        for field, group in groupby(planned, key=lambda card: card.field):
            names = ", ".join(f"[{card.slug}]({card.url})" if card.url else card.slug for card in group)
            lines.append(f"- **{field}**: {names}")
        lines += ["", "</details>"]
    return "\n".join(lines)


def write_pages(folder: Path, evidence: Mapping[str, Evidence]) -> None:
    """Write a page a paper, their index, and copies of the figures that the pages show."""
    with whole_folder(folder) as work:
        for card in catalogue.cards().values():
            found = evidence.get(card.slug)
            write_text(work / f"{card.slug}.md", page(card, found))
            if found and (DOCS / "evidence" / card.slug).is_dir():
                shutil.copytree(DOCS / "evidence" / card.slug, work / "figures" / card.slug)
        write_text(work / "index.md", index(list(catalogue.cards().values()), evidence))


def index(cards: list[Card], evidence: Mapping[str, Evidence]) -> str:
    """Return the page that lists all papers, by field."""
    lines = ["# Papers", "", f"{len(cards)} papers, each a card with the claims that can be checked.", ""]
    for field, group in groupby(sorted(cards, key=lambda card: (card.field, card.slug)), key=lambda card: card.field):
        lines += [f"## {field.capitalize()}", "", "| paper | title | date | state |", "|---|---|---|---|"]
        for card in group:
            found = evidence.get(card.slug)
            state = counts(claim_rows(found)) if found else catalogue.state(card.slug)
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
    lines += ["", card.summary, "", "## Claims", ""]
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
    for figure in evidence.figures:
        file = Path(evidence.slug) / f"{figure_name(figure.name)}.svg"
        if (DOCS / "evidence" / file).is_file():
            lines += [f"### {figure.name}", "", f"![{figure.alt}](figures/{file.as_posix()})", "", figure.alt, ""]
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
