"""Where trued keeps things, and how it writes them: whole or not at all.

Knows paths and bytes. Knows nothing of what the files mean.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path, user_data_path


def cache_dir() -> Path:
    """Return the cache folder: `TRUED_CACHE`, or the operating system's user cache."""
    return Path(os.environ.get("TRUED_CACHE") or user_cache_path("trued"))


def data_dir() -> Path:
    """Return the folder of what cannot be made again, such as notes: `TRUED_DATA`, or the user's data folder.

    It is never the cache, which its user may empty at any time.
    """
    return Path(os.environ.get("TRUED_DATA") or user_data_path("trued"))


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` (UTF-8) to `path` atomically: readers see the old file or the new one, never half of it."""
    return write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` atomically, through a synced temporary file in the same folder."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` only if the block ends without an error.

    Others may read what is in it, as with any file of the user's, whatever mode the libraries wrote it in. An existing
    folder of that name is replaced at the end; on any error, Ctrl-C included, it stays as it was.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield work
        _let_others_read(work)
        _swap(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _let_others_read(folder: Path) -> None:
    """safetensors and temporary folders are made for their owner alone."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _swap(work: Path, target: Path) -> None:
    """Give `work` the name `target`; a folder that has it steps aside, and back if that fails."""
    old = work.with_name(work.name + ".old")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(work, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
