"""Where the finished parts of a check or a repair lie until all of it is done, and what is said when it is cut off.

Knows the cache and what a command was given. Knows nothing of what a part is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trued import __version__
from trued.files import cache_dir, fingerprint
from trued.language.measure.check.parts import Parts


def parts_path(*sources: str | Path | None, **options: Any) -> Path:
    """Return the file for the parts of one command, by its models, their files as they are now, and its options."""
    given = [[None if source is None else str(source), fingerprint(source)] for source in sources]
    text = json.dumps([__version__, given, options], sort_keys=True, default=str)
    return cache_dir() / "unfinished" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.jsonl"


@contextmanager
def continued(parts: Parts) -> Iterator[None]:
    """Say on Ctrl-C that the same command continues, where there is something to continue."""
    try:
        yield
    except KeyboardInterrupt:
        remedy = "the same command continues it" if parts.count else "nothing was finished yet"
        raise KeyboardInterrupt(f"interrupted; {remedy}") from None
