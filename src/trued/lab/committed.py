"""Committed evidence: what was measured of each paper, ready to print, and read again when a file changes.

Knows evidence, its figures and claim rows. Knows nothing of requests or of the feed.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import trued
from trued.errors import InputError
from trued.lab.evidence import Evidence, is_stale, load
from trued.lab.rows import ClaimRow, claim_rows
from trued.papers import catalogue

VERDICTS = ("supported", "contradicted", "inconclusive")
_LARGEST_FIGURE = 4 * 2**20  # bytes
_LARGEST_IN_LIST = 64 * 2**10  # characters


@dataclass(frozen=True)
class Drawing:
    """A figure of an experiment: its name, what it shows, and the SVG."""

    name: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Measured:
    """Evidence, ready to print.

    Attributes:
        evidence: what was measured.
        rows: a line a claim.
        folder: where its figures lie.
    """

    evidence: Evidence
    rows: tuple[ClaimRow, ...]
    folder: Path

    @cached_property
    def drawings(self) -> tuple[Drawing, ...]:
        """The figures that lie beside it; read when they are first asked for."""
        from trued.lab.results import figure_name  # which needs the run store, and few ask for figures

        drawings = []
        for figure in self.evidence.figures:
            file = self.folder / f"{figure_name(figure.name)}.svg"
            if file.is_file() and file.stat().st_size <= _LARGEST_FIGURE:
                drawings.append(Drawing(figure.name, figure.alt, file.read_text(encoding="utf-8")))
        return tuple(drawings)

    @cached_property
    def stale(self) -> bool:
        """Whether the code under test has changed since."""
        return is_stale(self.evidence)

    @property
    def day(self) -> date:
        """The day of the run."""
        return date.fromisoformat(self.evidence.date[:10])

    @property
    def trade_off(self) -> Drawing | None:
        """The figure for a list: of what is traded for what, else the first; None if all are large."""
        small = [drawing for drawing in self.drawings if len(drawing.svg) <= _LARGEST_IN_LIST]
        words = ("trade", "against")
        return next((one for one in small if any(word in one.name.lower() for word in words)), next(iter(small), None))

    @property
    def tally(self) -> dict[str, int]:
        """How many claims got which verdict, those that none got left out."""
        counts = {word: sum(row.verdict == word for row in self.rows) for word in VERDICTS}
        return {word: count for word, count in counts.items() if count}


@dataclass(frozen=True)
class MeasuredVerdicts:
    """The verdicts in a file of evidence.

    Attributes:
        day: of the run.
        verdicts: claim → the verdict's word, and the sentence that says why.
    """

    day: date
    model: str
    scale: str
    seeds: int
    verdicts: Mapping[str, tuple[str, str]]


def read_verdicts(slug: str, folder: str | Path | None = None) -> MeasuredVerdicts | None:
    """Return the verdicts of a paper, or None where nothing was measured; only the file's text is read.

    `CommittedEvidence` gives all of it, and needs the statistics for that.

    Raises:
        InputError: the file is no evidence.
    """
    path = (Path(folder) if folder is not None else evidence_folder()) / f"{slug}.json"
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        verdicts = {
            claim: (str(told["verdict"]["kind"]), str(told["verdict"]["why"]))
            for claim, told in data["assessments"].items()
        }
        day = date.fromisoformat(data["date"][:10])
        return MeasuredVerdicts(day, str(data["model"]), str(data["scale"]), len(data["seeds"]), verdicts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no evidence that this version reads ({error}); run the experiment again") from None


class CommittedEvidence:
    """The evidence of all papers.

    Args:
        folder: of `SLUG.json` and `SLUG/*.svg`; see `evidence_folder` if None. A folder that is not there is empty.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else evidence_folder()
        self._kept: dict[str, tuple[float, Measured | None]] = {}
        self._lock = threading.Lock()

    def get(self, slug: str | None) -> Measured | None:
        """Return what was measured of a paper, or None; a file that cannot be read counts as none, and is logged."""
        if slug is None or slug not in catalogue.slugs():
            return None
        path = self.folder / f"{slug}.json"
        try:
            changed = path.stat().st_mtime
        except OSError:
            return None
        with self._lock:
            known = self._kept.get(slug)
            if known is None or known[0] != changed:
                known = self._kept[slug] = (changed, self._read(path))
        return known[1]

    def all(self) -> dict[str, Measured]:
        """Return everything that was measured, by slug."""
        return {slug: found for slug in catalogue.slugs() if (found := self.get(slug)) is not None}

    def verdicts(self) -> Mapping[str, set[str]]:
        """Return the verdicts that each paper's claims got: what the store filters by."""
        return {slug: set(found.tally) for slug, found in self.all().items()}

    def _read(self, path: Path) -> Measured | None:
        try:
            evidence = load(path)
        except InputError as error:
            logging.getLogger(__name__).warning("%s", error)
            return None
        return Measured(evidence, tuple(claim_rows(evidence)), path.with_suffix(""))


def evidence_folder() -> Path:
    """Return the folder of committed evidence: `TRUED_EVIDENCE`, the package's own, or the sources'."""
    named = os.environ.get("TRUED_EVIDENCE")
    if named:
        return Path(named)
    package = Path(trued.__file__).parent
    return next(
        (one for one in (package / "evidence", package.parents[1] / "docs" / "evidence") if one.is_dir()),
        package / "evidence",
    )
