"""The secret that links in mails are signed with: `TRUED_SECRET`, or one that is made once and kept beside the store.

Knows one environment variable and one file. Knows nothing of what is signed.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from trued.errors import InputError
from trued.files import data_dir

SHORTEST = 16  # characters


def secret() -> str:
    """Return the secret; the first to ask makes it, readable by this user alone.

    The command line and the page have the same one, so a link in a mail that either sent is good on the page.

    Raises:
        InputError: it is too short to keep anyone out.
    """
    given = os.environ.get("TRUED_SECRET")
    if given:
        if len(given) < SHORTEST:
            raise InputError(f"TRUED_SECRET has {len(given)} characters; give at least {SHORTEST}, at random")
        return given
    path = data_dir() / "secret"
    if not path.exists():
        _make(path)
    saved = path.read_text(encoding="ascii").strip()
    if len(saved) < SHORTEST:
        raise InputError(f"{path} has no secret; delete it, and a new one is made (links in older mails end then)")
    return saved


def _make(path: Path) -> None:
    """Put a new secret at `path`, unless another process is faster; readers see a whole one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".secret.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # not a rename: that would replace the faster one's
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()
