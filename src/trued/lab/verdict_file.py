"""The verdicts in a committed file of evidence, read from its text alone, and the folder where such files lie.

Knows the file's keys. Imports neither statistics nor the run store, so that a command answers at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import trued
from trued.errors import InputError


def evidence_folder() -> Path:
    """Return the folder of committed evidence: `TRUED_EVIDENCE`, the package's own, or the sources'."""
    named = os.environ.get("TRUED_EVIDENCE")
    if named:
        return Path(named)
    package = Path(trued.__file__).parent
    folders = (package / "evidence", package.parents[1] / "docs" / "evidence")
    return next((folder for folder in folders if folder.is_dir()), package / "evidence")


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

    `trued.lab.measured` gives all of it, and needs the statistics for that.

    Raises:
        InputError: the file is no evidence.
    """
    path = (Path(folder) if folder is not None else evidence_folder()) / f"{slug}.json"
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        verdicts = {
            claim: (str(assessment["verdict"]["kind"]), str(assessment["verdict"]["why"]))
            for claim, assessment in data["assessments"].items()
        }
        day = date.fromisoformat(data["date"][:10])
        return MeasuredVerdicts(day, str(data["model"]), str(data["scale"]), len(data["seeds"]), verdicts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no evidence that this version reads ({error}); run the experiment again") from None
