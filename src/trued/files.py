"""Where trued keeps things, and how it writes them: whole or not at all, and never over what is not its own.

Knows paths and bytes. Knows nothing of what the files mean.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_data_path

from trued.errors import InputError

MARKER = ".trued.json"
"""The file in a folder that says that trued wrote it, of which kind it is, and which files belong to it."""

CACHE = "cache"
"""The kind of a folder whose name trued chose itself, in its cache: it is replaced whatever it contains."""

CHECKPOINT = "checkpoint"
"""The kind, and the name, of the folder that an unfinished training leaves in its output."""

TRACKERS = "trackers"
"""The kind, and the name, of the folder of a training's trackers in its output. It grows while the training runs, and
what replaces the output takes it along with all that is in it."""

_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # operating systems leave these everywhere
_HEAD = 4096  # bytes of a file among which its mark stands
_PROBE = bytes(65536)


def cache_dir() -> Path:
    """Return the cache folder: `TRUED_CACHE`, or the operating system's user cache."""
    return Path(os.environ.get("TRUED_CACHE") or user_cache_path("trued"))


def data_dir() -> Path:
    """Return the folder of what cannot be made again, such as notes: `TRUED_DATA`, or the user's data folder.

    It is never the cache, which its user may empty at any time.
    """
    return Path(os.environ.get("TRUED_DATA") or user_data_path("trued"))


# -- what may be replaced ----------------------------------------------------------------------------------------------


def mark(kind: str) -> str:
    """Return the words that a file has among its first lines, in a comment of its format, so that it is known."""
    return f"written by trued: {kind}"


def claim_output(
    path: str | os.PathLike[str], *, kind: str, own: Callable[[Path], bool] | None = None, whole: bool = True
) -> Path:
    """Return where output goes, once it is known that it may be written there, and can be. Call it before the work.

    It may where nothing lies; over an empty file or folder; over a file that has the mark of its kind or is, byte
    for byte, what `write_output` wrote there; and over a folder with trued's marker of the same kind and no file that
    is not in the marker's list. It can where a small file can be written beside it now.

    Args:
        path: where the output goes.
        kind: what it is, such as "adapter" or "report".
        own: recognises trued's own output where it carries neither mark nor marker.
        whole: whether what lies there is replaced as a whole; otherwise files of others in a marked folder stay.

    Raises:
        InputError: something of someone else's lies there, or nothing can be written.
    """
    target = Path(path)
    if kind != CACHE:
        _check_free(target, kind, own, whole=whole)
        _try_writing(target)
    return target


_REMEDY = "give another output, or move it away. Nothing was changed"


def _check_free(target: Path, kind: str, own: Callable[[Path], bool] | None, *, whole: bool = True) -> None:
    if kind == CACHE:
        return
    if target.is_symlink() and not target.exists():
        raise InputError(f"{target} is a link that leads nowhere: give another output, or remove it")
    if target.is_dir():
        _check_place(target)
        if own is None or not own(target):
            _check_folder(target, kind, whole=whole)
    elif target.exists():
        if not target.is_file():
            raise InputError(f"{target} is neither a file nor a folder: give another output")
        if not (target.stat().st_size == 0 or _is_own_file(target, kind) or (own is not None and own(target))):
            raise InputError(f"{target} is there already and was not written by trued as {_a(kind)}: {_REMEDY}")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _check_place(target: Path) -> None:
    """Refuse the folder that the command runs in, the user's home, and what contains either."""
    place = target.resolve()
    for name, folder in (("the folder you are in", "."), ("your home folder", "~")):
        own = os.path.realpath(os.path.expanduser(folder))
        if own.startswith(os.path.join(place, "")) or own == str(place):
            held = name if own == str(place) else f"a folder that contains {name}"
            raise InputError(f"{target} is {held}: give a new folder as output, such as {target / 'output'}")
    if os.path.ismount(place):
        raise InputError(f"{target} is where a disk is mounted: give a folder in it, such as {target / 'output'}")


def _check_folder(target: Path, kind: str, *, whole: bool) -> None:
    """Refuse a folder that contains anything, unless its marker has this kind and lists every file."""
    entries = sorted(entry.name for entry in target.iterdir() if entry.name not in _LITTER)
    entries = [name for name in entries if name != TRACKERS or not _is_trackers(target / name)]
    if entries == [CHECKPOINT] and not _strange(target / CHECKPOINT, CHECKPOINT):
        return  # of a training that was cut off
    marker = _marker(target)
    if entries and marker is None:
        raise InputError(f"{target} contains {entries[0]}, and was not written by trued as {_a(kind)}: {_REMEDY}")
    if marker is not None and marker["kind"] != kind:
        raise InputError(f"{target} was written by trued as {_a(marker['kind'])}, not as {_a(kind)}: {_REMEDY}")
    strange = _strange(target, kind) if entries and whole else None
    if strange:
        raise InputError(f"{target} contains {strange}, which trued did not write: {_REMEDY}")


def _strange(folder: Path, kind: str) -> str | None:
    """Return the first file in a folder that its marker does not list, or the marker's name where it is missing."""
    marker = _marker(folder)
    if marker is None or marker["kind"] != kind:
        return MARKER
    own = {MARKER, *marker["files"]}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if name.parts[0] == CHECKPOINT and kind != CHECKPOINT:
            if inner := _strange(folder / CHECKPOINT, CHECKPOINT):
                return f"{CHECKPOINT}/{inner}"
        elif name.parts[0] == TRACKERS and _is_trackers(folder / TRACKERS):
            continue
        elif (file.is_symlink() or not file.is_dir()) and name.as_posix() not in own and file.name not in _LITTER:
            return name.as_posix()
    return None


def _is_trackers(folder: Path) -> bool:
    marker = _marker(folder)
    return marker is not None and marker["kind"] == TRACKERS and not folder.is_symlink()


def _marker(folder: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        return marker if isinstance(marker["kind"], str) and isinstance(marker["files"], list) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_own_file(target: Path, kind: str) -> bool:
    with open(target, "rb") as file:
        head = file.read(_HEAD)
    return mark(kind).encode() in head or _ledger().get(str(target.resolve())) == sha256(target)


def _try_writing(target: Path) -> None:
    """Write and remove a small file where the output will be made.

    Raises:
        InputError: it cannot be written; the path that was given is named.
    """
    folder = target if target.is_dir() else target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    for place in {folder, target.parent} if target.is_dir() else {folder}:
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InputError(f"{target} cannot be written, for the disk is full: free some space") from error
            reason = error.strerror or type(error).__name__
            raise InputError(f"{target} cannot be written ({place}: {reason}): give another output") from error


# -- writing -----------------------------------------------------------------------------------------------------------


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` (UTF-8) to `path` atomically: readers see the old file or the new one, never half of it."""
    return write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` atomically, through a synced temporary file in the same folder.

    Whatever lies there is replaced: a path that a user gave goes through `write_output`.
    """
    target = Path(path)
    place = target.resolve()  # a link stays a link
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def write_output(path: str | os.PathLike[str], data: str | bytes, *, kind: str) -> Path:
    """Write a file at a path that the user gave, unless it would replace what is not trued's own (see `claim_output`).

    A file without the mark of its kind is remembered by its hash, so that it can be replaced until somebody edits it.
    """
    content = data.encode() if isinstance(data, str) else data
    target = write_bytes(claim_output(path, kind=kind), content)
    if mark(kind).encode() not in content[:_HEAD]:
        ledger = _ledger() | {str(target.resolve()): hashlib.sha256(content).hexdigest()}
        write_text(_ledger_path(), json.dumps(ledger, indent=1))
    return target


def _ledger_path() -> Path:
    return data_dir() / "written.json"


def _ledger() -> dict[str, str]:
    """Path → SHA-256 of the files without a mark that were written last."""
    try:
        ledger = json.loads(_ledger_path().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return ledger if isinstance(ledger, dict) else {}


@contextmanager
def whole_folder(
    path: str | os.PathLike[str], *, kind: str, own: Callable[[Path], bool] | None = None
) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path`, with trued's marker, if the block ends without an error.

    An older folder of the same kind is replaced at the end, and only its trackers' files are kept; on any error, Ctrl-C
    included, it stays as it was. Where someone else's files came to lie there meanwhile, the new folder takes a name of
    its own beside it.

    Raises:
        InputError: the folder may not be replaced, see `claim_output`, whose arguments these are.
    """
    target = claim_output(path, kind=kind, own=own)
    if target.is_file():
        raise InputError(f"{path} is a file, and a folder is to be written: {_REMEDY}")
    place = target.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        yield work
        if _is_trackers(place / TRACKERS):
            shutil.copytree(place / TRACKERS, work / TRACKERS, symlinks=True)
        mark_folder(work, kind)
        _let_others_read(work)
        try:
            _check_free(target, kind, own)
        except InputError as error:
            free = _free_name(place)
            os.replace(work, free)
            error.add_note(f"What was to be written there is in {free}")
            raise
        _swap(work, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def mark_folder(folder: str | os.PathLike[str], kind: str) -> Path:
    """Write trued's marker into a folder: all files that are in it now belong to it."""
    root = Path(folder)
    names = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if not file.is_dir())
    names = [name for name in names if name != MARKER]
    return write_text(root / MARKER, json.dumps({"writer": "trued", "kind": kind, "files": names}, indent=1) + "\n")


def add_text(folder: str | os.PathLike[str], name: str, text: str) -> Path:
    """Write one more file into a marked folder, and enter it in the marker's list."""
    path = write_text(Path(folder) / name, text)
    marker = _marker(Path(folder))
    if marker is not None:
        marker["files"] = sorted({*marker["files"], name})
        write_text(Path(folder) / MARKER, json.dumps(marker, indent=1) + "\n")
    return path


def _let_others_read(folder: Path) -> None:
    """safetensors and temporary folders are made for their owner alone."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _free_name(target: Path) -> Path:
    return next(name for i in range(2, 10_000) if not (name := target.with_name(f"{target.name}-{i}")).exists())


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


def fingerprint(path: str | os.PathLike[str] | None) -> str | None:
    """Return names, sizes and times of the files at a local path as a hash; None for a name that is no path."""
    if path is None or not Path(path).exists():
        return None
    root = Path(path)
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    stats = [(str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
