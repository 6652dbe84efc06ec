"""Files out of pinned Python wheels: from the installed package, or from the wheel itself, fetched and checked by hash.

A wheel is fetched without its dependencies and never installed or imported: only the bytes that it carries are wanted.
A release that has no wheel is read from its source archive in the same way: nothing in it is built or run.

Knows wheels, source archives, hashes and pip. Knows nothing of what the files are for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from trued.fetch import pypi as index
from trued.fetch.network import offline
from trued.fetch.pypi import UnavailableError
from trued.files import sha256

Report = Callable[[str, int, int], None]
"""Called with a stage, what is done of it and the whole of it (0 where that is not known)."""

INDEX = "https://pypi.org/pypi"
_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer from the index


@dataclass(frozen=True)
class Wheel:
    """One file of a release on the Python package index, pinned: its wheel, or its source archive (.tar.gz)."""

    package: str
    version: str
    filename: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def is_source(self) -> bool:
        return self.filename.endswith(".tar.gz")


@dataclass(frozen=True)
class Member:
    """A file in a wheel, by its path there, which is also its path below `site-packages`; or in a source archive."""

    wheel: Wheel
    path: str


# -- reading -----------------------------------------------------------------------------------------------------------


def installed(member: Member) -> Path:
    """Return where an installed package keeps `member`. The package is found, not imported.

    Raises:
        UnavailableError: the package is not installed, or has no such file.
    """
    module, _, rest = member.path.partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise UnavailableError(f"{member.wheel.package} is not installed")
    for place in spec.submodule_search_locations or ():
        if (path := Path(place, rest)).is_file():
            return path
    raise UnavailableError(f"the installed {member.wheel.package} has no {rest}")


@contextmanager
def packed(wheel: Path, member: Member) -> Iterator[BinaryIO]:
    """Open `member` inside a wheel or a source archive. Nothing is unpacked, and no link in it is followed.

    Raises:
        UnavailableError: the archive has no such file.
    """
    with tarfile.open(wheel, "r:gz") if member.wheel.is_source else zipfile.ZipFile(wheel) as archive:
        try:
            stream = (
                _tar_stream(archive, member.path) if isinstance(archive, tarfile.TarFile) else archive.open(member.path)
            )
        except KeyError:
            raise UnavailableError(f"{wheel.name} has no {member.path}") from None
        with stream:
            yield stream  # pyright: ignore[reportReturnType]


def _tar_stream(archive: tarfile.TarFile, path: str) -> BinaryIO:
    entry = archive.getmember(path)
    stream = archive.extractfile(entry) if entry.isreg() else None
    if stream is None:
        raise KeyError(path)
    return stream  # pyright: ignore[reportReturnType]


def join(pieces: Iterable[BinaryIO], target: Path, expected: str) -> None:
    """Write the pieces one after another to `target`, and check the whole against a SHA-256.

    Raises:
        UnavailableError: the hash differs; `target` is removed.
    """
    digest = hashlib.sha256()
    with open(target, "wb") as out:
        for piece in pieces:
            while block := piece.read(_BLOCK):
                digest.update(block)
                out.write(block)
    if digest.hexdigest() != expected:
        target.unlink()
        raise UnavailableError(
            f"{target.name} has SHA-256 {digest.hexdigest()[:12]}…, pinned is {expected[:12]}… (another version?)"
        )


# -- fetching ----------------------------------------------------------------------------------------------------------


def fetch(wheel: Wheel, folder: Path, report: Report) -> Path:
    """Fetch a wheel into `folder` and check its hash.

    pip does it, so that the user's index, proxy and certificates count. Only an environment without pip asks
    pypi.org itself: where pip is configured with a private index, nothing bypasses it. A source archive is fetched from
    pip's index, but not by pip, which would run what is in it.

    Raises:
        UnavailableError: no network, no such release, or bytes that do not match the pinned hash.
    """
    if (setting := offline()) is not None:
        raise UnavailableError(f"{setting} keeps {wheel.requirement} from being fetched")
    stage = f"fetching {wheel.requirement}"
    report(stage, 0, wheel.size)
    if wheel.is_source:
        path = folder / wheel.filename
        index.fetch(wheel.package, wheel.filename, wheel.sha256, path, report=lambda n: report(stage, n, wheel.size))
    else:
        path = (_by_pip if importlib.util.find_spec("pip") else _by_index)(wheel, folder, stage, report)
    if (digest := sha256(path)) != wheel.sha256:
        path.unlink()
        raise UnavailableError(f"{wheel.filename} has SHA-256 {digest[:12]}…, pinned is {wheel.sha256[:12]}…")
    report(stage, wheel.size, wheel.size)
    return path


def _by_pip(wheel: Wheel, folder: Path, stage: str, report: Report) -> Path:
    requirements, log = folder / f"{wheel.package}.txt", folder / f"{wheel.package}.log"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    options = ["--no-input", "--disable-pip-version-check", "--quiet"]
    what = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
    ]
    # pip unpacks into its temporary folder first: ours, where the growing file shows how far it is.
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with open(log, "wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "pip", "download", *options, *what],
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
            env={**os.environ, **temporary},
        )
        try:
            while True:
                try:
                    process.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    report(stage, min(_bytes_of(folder, wheel.filename), wheel.size), wheel.size)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    path = folder / wheel.filename
    if process.returncode or not path.is_file():
        raise UnavailableError(f"pip download {wheel.requirement}: {_complaint(log)}")
    return path


def _bytes_of(folder: Path, filename: str) -> int:
    sizes = [0]
    for path in folder.rglob(filename):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # pip has just moved it
            continue
    return max(sizes)


def _complaint(log: Path) -> str:
    """Return the last error in pip's log, which says more than the first ones do."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it left no wheel"])[-1].rstrip(".")


def _by_index(wheel: Wheel, folder: Path, stage: str, report: Report) -> Path:
    """Fetch through the index's JSON interface with the standard library (proxies from the environment)."""
    address = f"{INDEX}/{wheel.package}/{wheel.version}/json"
    path = folder / wheel.filename
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
            files = json.load(answer)["urls"]
        url = next((f["url"] for f in files if f["digests"]["sha256"] == wheel.sha256), None)
        if url is None:
            raise UnavailableError(f"{address} lists no file with the pinned hash")
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, open(path, "wb") as out:
            while block := answer.read(_BLOCK):
                out.write(block)
                report(stage, out.tell(), wheel.size)
    except urllib.error.URLError as error:
        raise UnavailableError(f"{address}: {error.reason}") from error
    except (TimeoutError, ConnectionError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{address}: {type(error).__name__} {error}") from error
    return path


__all__ = ["Member", "Report", "UnavailableError", "Wheel", "fetch", "installed", "join", "packed"]
