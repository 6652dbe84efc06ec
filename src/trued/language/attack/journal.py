"""Results as they come, one JSON row a line, on disk before the next work starts; a run that was cut off goes on there.

The first row is the protocol. A file with another protocol is refused: numbers of two protocols do not compare, and
must not meet in one file.

Knows rows and files. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trued.errors import InputError

Row = dict[str, Any]


class Journal:
    """A JSONL file that only grows; without a path, a list in memory.

    Args:
        path: the file; it is made with its first row.
        protocol: what a continued file must agree with, as JSON.

    Raises:
        InputError: the file has another protocol, or is no journal.
    """

    def __init__(self, path: str | Path | None, protocol: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.rows: list[Row] = []
        wanted = json.loads(json.dumps(protocol))
        if self.path is not None and self.path.exists() and self.path.stat().st_size:
            self.rows = self._read(self.path)
        if not self.rows:
            self.append([{"kind": "protocol", "protocol": wanted}])
            return
        self._require(self.rows[0]["protocol"], wanted)

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows; they are on the disk when this returns."""
        added = [json.loads(json.dumps(row, ensure_ascii=False)) for row in rows]
        self.rows += added
        if self.path is None or not added:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in added))
            file.flush()
            os.fsync(file.fileno())

    def of(self, kind: str, **fields: Any) -> list[Row]:
        """Return the rows of a kind with these values, in the order in which they were written."""
        return [
            row for row in self.rows
            if row["kind"] == kind and all(row.get(key) == value for key, value in fields.items())
        ]  # fmt: skip

    @staticmethod
    def _read(path: Path) -> list[Row]:
        """Read the rows; a last line that was cut off is dropped from the file too."""
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        rows = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError):
                row = None
            if not isinstance(row, dict) or "kind" not in row or (number == 1 and row["kind"] != "protocol"):
                raise InputError(
                    f"{path}, line {number}: not a row of results; give another output file, or remove this one"
                )
            rows.append(row)
        if len(whole) < len(data):
            with open(path, "r+b") as file:
                file.truncate(len(whole))
        return rows

    def _require(self, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        for key in {**wanted, **recorded}:
            if recorded.get(key) != wanted.get(key):
                raise InputError(
                    f"{self.path} holds results of another protocol: {key} was {_shortened(recorded.get(key))} and is "
                    f"now {_shortened(wanted.get(key))}; give another output file, or the same settings to continue"
                )


def is_journal(path: str | Path) -> bool:
    """Whether a file is one that a `Journal` wrote, by its first row."""
    try:
        with open(path, encoding="utf-8") as file:
            row = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(row, dict) and row.get("kind") == "protocol" and isinstance(row.get("protocol"), dict)


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:120]}…"
