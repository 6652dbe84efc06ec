"""The outcomes of a sweep as a file and as the page docs/models.md, and what a test reads from that page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .outcome import TOLERANCE, Outcome

Table = dict[str, dict[str, dict[str, Outcome]]]
"""Outcomes by kind, family and check."""

TEMPLATE = Path(__file__).with_name("page.md")
SHORT = {"ok": "✓", "refused": "refused", "WRONG": "**WRONG**", "CRASH": "**CRASH**", "no reference": "–"}


def read_table(path: str | None) -> Table:
    """Return the outcomes of an earlier sweep; none without a file."""
    if path is None or not Path(path).is_file():
        return {}
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    return {
        kind: {family: {check: Outcome(**o) for check, o in row.items()} for family, row in rows.items()}
        for kind, rows in stored.items()
    }


def save_table(path: str, table: Table) -> None:
    plain = {
        kind: {family: {check: vars(o) for check, o in row.items()} for family, row in rows.items()}
        for kind, rows in table.items()
    }
    Path(path).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def write_page(path: str, table: Table, columns: dict[str, tuple[Sequence[str], Sequence[str]]]) -> None:
    """Write the page.

    Args:
        path: of docs/models.md.
        table: the outcomes of all families.
        columns: for each kind its families and its checks, in the order of rows and columns.
    """
    import peft
    import torch
    import transformers

    words = {
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "torch": torch.__version__.partition("+")[0],
        "tolerance": f"{TOLERANCE:g}".replace("e-0", "e-"),
    }
    for kind, (families, checks) in columns.items():
        words[f"{kind}_table"], words[f"{kind}_notes"] = _rows(table.get(kind, {}), families, checks)
        words[f"{kind}_count"] = _count(table.get(kind, {}), families)
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, text in words.items():
        page = page.replace("{" + name + "}", text)
    Path(path).write_text(page, encoding="utf-8")


def families_on_page(page: str) -> dict[str, list[str]]:
    """The families that the page's tables have, by the table's heading."""
    result: dict[str, list[str]] = {}
    heading = ""
    for line in page.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `"):
            result.setdefault(heading, []).append(line.split("`")[1])
    return result


def _rows(rows: dict[str, dict[str, Outcome]], families: Sequence[str], checks: Sequence[str]) -> tuple[str, str]:
    """A Markdown table and its notes: each refusal, fault or missing reference once, numbered."""
    notes: dict[str, int] = {}
    lines = ["| family | " + " | ".join(check.replace("_", " ") for check in checks) + " |"]
    lines.append("|---" * (len(checks) + 1) + "|")
    for family in families:
        cells = []
        for check in checks:
            outcome = rows.get(family, {}).get(check)
            if outcome is None:
                cells.append("not run")
                continue
            words = outcome.words
            if outcome.kind == "WRONG" and outcome.difference is not None:
                words = f"off by {outcome.difference:.1e}"
            number = notes.setdefault(words, len(notes) + 1) if words else 0
            cells.append(SHORT[outcome.kind] + (f" {number}" if number else ""))
        lines.append(f"| `{family}` | " + " | ".join(cells) + " |")
    return "\n".join(lines), "\n".join(f"{number}. {_plain(words)}" for words, number in notes.items())


def _count(rows: dict[str, dict[str, Outcome]], families: Sequence[str]) -> str:
    """How many families hold everything, are refused, hold in part, or have no reference."""
    kinds = [{outcome.kind for outcome in rows.get(family, {}).values()} for family in families]
    whole = sum(kind == {"ok"} for kind in kinds)
    absent = sum(kind == {"no reference"} for kind in kinds)
    refused = sum(kind == {"refused"} for kind in kinds)
    rest = len(families) - whole - absent - refused
    return (
        f"Of {len(families)} families {whole} hold in every column, {rest} in some, {refused} are refused at loading, "
        f"and {absent} have no reference."
    )


def _plain(words: str) -> str:
    """A sentence as Markdown shows it letter for letter."""
    for sign in "\\`*_{}[]<>#|$":
        words = words.replace(sign, f"\\{sign}")
    return words
