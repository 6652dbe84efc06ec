"""What was measured of each paper, ready to print, and read again when a file changes.

Knows evidence, its figures and claim rows. Knows nothing of requests or of the feed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from trued.errors import InputError
from trued.lab import committed
from trued.lab.evidence import Evidence, is_stale
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
        folder: of the file; its figures lie beside it.
    """

    evidence: Evidence
    rows: tuple[ClaimRow, ...]
    folder: Path

    @cached_property
    def drawings(self) -> tuple[Drawing, ...]:
        """The figures that lie beside it; read on first use."""
        return tuple(
            Drawing(figure.name, figure.alt, file.read_text(encoding="utf-8"))
            for figure, file in committed.figures(self.evidence, self.folder)
            if file.stat().st_size <= _LARGEST_FIGURE
        )

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
        fits = (drawing for drawing in small if any(word in drawing.name.lower() for word in words))
        return next(fits, next(iter(small), None))

    @property
    def tally(self) -> dict[str, int]:
        """How many claims got which verdict, those that none got left out."""
        counts = {word: sum(row.verdict == word for row in self.rows) for word in VERDICTS}
        return {word: count for word, count in counts.items() if count}


class CommittedEvidence:
    """The evidence of all papers.

    Args:
        folder: of `SLUG.json` and `SLUG/*.svg`; see `trued.lab.committed.evidence_folder` if None. A folder that is
            not there is empty.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else committed.evidence_folder()
        self._kept: dict[str, tuple[float, Measured | None]] = {}
        self._lock = threading.Lock()

    def get(self, slug: str | None) -> Measured | None:
        """Return what was measured of a paper, or None; a file that cannot be read counts as none, and is logged."""
        if slug is None or slug not in catalogue.slugs():
            return None
        try:
            changed = committed.path_of(slug, self.folder).stat().st_mtime
        except OSError:
            return None
        with self._lock:
            known = self._kept.get(slug)
            if known is None or known[0] != changed:
                known = self._kept[slug] = (changed, self._read(slug))
        return known[1]

    def all(self) -> dict[str, Measured]:
        """Return everything that was measured, by slug."""
        return {slug: result for slug in catalogue.slugs() if (result := self.get(slug)) is not None}

    def verdicts(self) -> Mapping[str, set[str]]:
        """Return the verdicts that each paper's claims got: what the store filters by."""
        return {slug: set(result.tally) for slug, result in self.all().items()}

    def _read(self, slug: str) -> Measured | None:
        try:
            evidence = committed.read(slug, self.folder)
        except InputError as error:
            logging.getLogger(__name__).warning("%s", error)
            return None
        return Measured(evidence, tuple(claim_rows(evidence)), self.folder)
