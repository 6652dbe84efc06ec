"""Finished parts of long work, kept on disk until all of it is done, so that the same command continues.

Knows JSON values and what each of them was computed from. Knows nothing of what they mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trued.language.attack.journal import Journal

_PROTOCOL = {"what": "finished parts", "format": 1}


class Parts:
    """Values under a hash of what they depend on; without a path, in memory.

    Args:
        path: a JSONL file; it is made with its first part.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._journal: Journal | None = None
        self._values: dict[str, Any] = {}

    def get(self, what: Any, compute: Callable[[], Any]) -> Any:
        """Return the value of a part, which is computed once and kept.

        Args:
            what: everything that the value depends on, as JSON.
            compute: returns the value, as JSON.
        """
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        if self._journal is None:
            self._journal = Journal(self.path, _PROTOCOL)
            self._values = {row["key"]: row["value"] for row in self._journal.of("part")}
        if key not in self._values:
            self._journal.append([{"kind": "part", "key": key, "value": compute()}])
            self._values[key] = self._journal.rows[-1]["value"]
        return self._values[key]

    def beside(self, name: str) -> Parts:
        """Return other parts in a file beside this one."""
        return Parts(None if self.path is None else self.path.with_suffix(f".{name}{self.path.suffix}"))

    @property
    def count(self) -> int:
        """How many parts are kept."""
        return len(self._values)

    def clear(self) -> None:
        """Forget all parts, once the work is done and its results are written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self._journal, self._values = None, {}
