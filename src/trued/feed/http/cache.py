"""Answers on the disk: what a server said last, and by which mark it can say that nothing has changed since.

Knows answers, files and their marks (ETag, Last-Modified). Knows nothing of the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trued.files import write_bytes

_MOST = 500  # answers; the least recently used go first


@dataclass(frozen=True)
class Kept:
    """An answer that was kept.

    Args:
        url: where it came from in the end, behind all redirects.
        kind: its media type, without parameters.
        kept: when it was last known to be current, in UTC.
        etag, last_modified: the server's marks, or "".
    """

    url: str
    kind: str
    content: bytes
    kept: datetime
    etag: str = ""
    last_modified: str = ""


class HttpCache:
    """A folder of answers, one file each: a line of JSON, then the content.

    A file that was damaged counts as absent. Several processes may share the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, url: str, accept: str) -> Kept | None:
        """Return the answer to a request, or None."""
        try:
            head, _, content = self._path(url, accept).read_bytes().partition(b"\n")
            facts = json.loads(head)
            if facts.pop("sha256") != hashlib.sha256(content).hexdigest():
                return None
            return Kept(content=content, kept=datetime.fromisoformat(facts.pop("kept")), **facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, url: str, accept: str, cached: Kept) -> None:
        """Keep the answer to a request in place of an older one."""
        facts = {
            "url": cached.url,
            "kind": cached.kind,
            "kept": cached.kept.astimezone(UTC).isoformat(),
            "etag": cached.etag,
            "last_modified": cached.last_modified,
            "sha256": hashlib.sha256(cached.content).hexdigest(),
        }
        write_bytes(self._path(url, accept), json.dumps(facts).encode() + b"\n" + cached.content)
        self._prune()

    def _path(self, url: str, accept: str) -> Path:
        return self.folder / f"{hashlib.sha256(f'{accept} {url}'.encode()).hexdigest()[:32]}.answer"

    def _prune(self) -> None:
        with contextlib.suppress(OSError):  # another process may prune at the same time
            files = sorted(self.folder.glob("*.answer"), key=lambda path: path.stat().st_mtime)
            for path in files[:-_MOST]:
                path.unlink(missing_ok=True)
