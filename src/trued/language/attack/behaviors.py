"""Which behaviours are attacked: the user's own from a file, or trued's shipped requests that a safe model refuses.

Knows rows and their columns. Knows nothing of attacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from trued.data.prompts import Split, prompts
from trued.data.rows import ColumnKind, Row, read_rows
from trued.data.spacing import evenly_spaced
from trued.errors import InputError
from trued.language.attack.contract import Behavior, checked

T = TypeVar("T")

COLUMNS: dict[str, ColumnKind] = {
    "prompt": "text", "id": "name", "target": "text", "context": "text", "category": "name"
}  # fmt: skip


def shipped_behaviors(split: Split = "test", limit: int | None = None) -> list[Behavior]:
    """Return the shipped harmful requests of a split, at most `limit`, evenly spaced over the categories."""
    rows = prompts("harmful", split)
    return [Behavior(row.id, row.prompt, category=row.category) for row in _some(rows, limit)]


def read_behaviors(source: str | Path, limit: int | None = None) -> list[Behavior]:
    """Read behaviours from JSONL, CSV, Parquet or a data set: `prompt`, and where there is one `id`, `target`,
    `context` and `category`. A row without an id is named by its number; an empty text counts as none.

    Raises:
        InputError: no such source, a bad row, or two rows of the same id.
    """
    rows = read_rows(source, columns=COLUMNS, optional=[name for name in COLUMNS if name != "prompt"])
    behaviors = [_behavior(row, number) for number, row in enumerate(rows, start=1)]
    return _some(list(checked(behaviors)), limit)


def _behavior(row: Row, number: int) -> Behavior:
    return Behavior(
        id=row.get("id", f"row-{number}"),
        text=row["prompt"],
        target=row.get("target"),
        context=row.get("context"),
        category=row.get("category"),
    )


def _some(rows: list[T], limit: int | None) -> list[T]:
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; attack at least 1 behaviour, or give no limit for all")
    return evenly_spaced(rows, limit)
