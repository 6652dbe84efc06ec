"""Committed evidence: `SLUG.json` with its figures in `SLUG/`: kept from a run, read by all who show it, confirmed.

Knows where evidence lies, and whether it still holds for today's code: by the digest of that code or, where that has
changed, by the numbers of the experiment's tiny run. Knows nothing of how evidence is shown.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from trued.errors import InputError
from trued.files import claim_output, whole_folder
from trued.lab.dependence import closure
from trued.lab.evidence import Confirmation, Evidence, FigureNote, Measurement, load
from trued.lab.experiment import module_of
from trued.lab.results import Result, figure_name
from trued.lab.verdict_file import evidence_folder
from trued.papers.catalogue import card

TOLERANCE = 1e-4
"""How far a number of the tiny run may lie from the one that was kept: absolutely, plus this share of it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """Whether evidence holds for today's code.

    Attributes:
        slug: the paper's name.
        fresh: whether it holds.
        why: the reason, a sentence.
        differences: claim, arm and seed where the tiny run gave other numbers, a line each.
    """

    slug: str
    fresh: bool
    why: str
    differences: tuple[str, ...] = ()


def path_of(slug: str, folder: Path | None = None) -> Path:
    """Return where the evidence of a paper lies in a folder, or would lie; in `evidence_folder()` if None."""
    return (folder or evidence_folder()) / f"{slug}.json"


def read(slug: str, folder: Path | None = None) -> Evidence:
    """Return the committed evidence of a paper.

    Raises:
        InputError: there is none, it is not whole, or it is another paper's.
    """
    path = path_of(slug, folder)
    evidence = load(path)
    if evidence.slug != slug:
        raise InputError(f"{path} is evidence of {evidence.slug}; name the file as the paper it is of")
    return evidence


def read_all(folder: Path | None = None) -> dict[str, Evidence]:
    """Return all committed evidence by slug; a folder that is not there is empty.

    Raises:
        InputError: a file is not whole, or is named as another paper.
    """
    return {path.stem: read(path.stem, path.parent) for path in sorted((folder or evidence_folder()).glob("*.json"))}


def figures(evidence: Evidence, folder: Path | None = None) -> list[tuple[FigureNote, Path]]:
    """Return the figures of the evidence that lie beside it, each with its file."""
    beside = path_of(evidence.slug, folder).with_suffix("")
    files = [(note, beside / f"{figure_name(note.name)}.svg") for note in evidence.figures]
    return [(note, file) for note, file in files if file.is_file()]


def keep(result: Result, folder: str | Path) -> Path:
    """Put a run's evidence where it is committed, with its figures and the numbers of the experiment's tiny run.

    Raises:
        InputError: the tiny run does, or the folder holds files of others.
    """
    from trued.lab.executor import tiny_numbers

    evidence, folder = result.evidence, Path(folder)
    claim_evidence(evidence.slug, folder)
    evidence = replace(evidence, tiny=tiny_numbers(evidence.slug))
    if closure(module_of(evidence.slug)).digest != evidence.method_digest:
        _log.warning("%s: its code was changed while it ran, so the evidence is stale: run it again", evidence.slug)
        evidence = replace(evidence, tiny={})
    with whole_folder(folder / evidence.slug, kind="figures", own=_only_drawings) as drawings:
        for drawing in sorted((result.folder / "figures").glob("*.svg")):
            shutil.copyfile(drawing, drawings / drawing.name)
    return evidence.write(path_of(evidence.slug, folder))


def claim_evidence(slug: str, folder: str | Path) -> None:
    """Refuse a folder that committed evidence cannot be written to; call it before the run.

    Raises:
        InputError: another file has the evidence's name, or nothing can be written there.
    """
    path = path_of(slug, Path(folder))
    claim_output(path, kind="evidence", own=_is_evidence)
    claim_output(path.with_suffix(""), kind="figures", own=_only_drawings)


def _is_evidence(path: Path) -> bool:
    try:
        return load(path).slug == path.stem
    except InputError:
        return False


def _only_drawings(folder: Path) -> bool:
    """Whether a folder holds the figures of an earlier run: its evidence lies beside it, and nothing else is in it."""
    return folder.with_suffix(".json").is_file() and all(path.suffix == ".svg" for path in folder.iterdir())


def confirm(slug: str, folder: Path | None = None, *, progress: bool = False) -> Decision:
    """Decide whether the committed evidence of a paper holds for today's code.

    It does if the code's digest is the one that it was measured with or one that was confirmed before. If not, the
    experiment's tiny run decides: where it gives the numbers that it gave when the evidence was measured, today's
    digest is written into the evidence as confirmed. Evidence that holds takes over what the card says today of the
    paper's own figures, which no run measures; margins and controls stay as they were measured.

    Raises:
        InputError: there is no such evidence or experiment, or the tiny run cannot be made.
    """
    from trued.lab.executor import tiny_numbers

    committed, today = read(slug, folder), closure(module_of(slug)).digest
    evidence = _with_card(committed)
    holds = today == evidence.method_digest or today in {check.digest for check in evidence.confirmed}
    if holds and evidence != committed:
        evidence.write(path_of(slug, folder))
    if today == evidence.method_digest:
        return Decision(slug, True, "the code is the one that it was measured with")
    day = next((check.date[:10] for check in evidence.confirmed if check.digest == today), None)
    if day is not None:
        return Decision(slug, True, f"the code was confirmed on {day}")
    if not evidence.tiny:
        return Decision(slug, False, "the code has changed, and no numbers of a tiny run were kept: run it again")
    changed = differences(evidence.tiny, tiny_numbers(slug, progress=progress))
    if changed:
        return Decision(
            slug, False, "the code has changed, and the tiny run gives other numbers: run it again", changed
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    replace(evidence, confirmed=(Confirmation(today, now),)).write(path_of(slug, folder))
    return Decision(slug, True, "the code has changed, and the tiny run gives the same numbers: confirmed")


def _with_card(evidence: Evidence) -> Evidence:
    """Return evidence with the paper's figures as the card has them today."""
    today = {claim.id: claim.paper for claim in card(evidence.slug).claims}
    claims = tuple(replace(claim, paper=today.get(claim.id, claim.paper)) for claim in evidence.claims)
    return replace(evidence, claims=claims)


def differences(before: Mapping[str, Measurement], now: Mapping[str, Measurement]) -> tuple[str, ...]:
    """Return where two tiny runs disagree by more than `TOLERANCE`: a line for each claim, arm and seed."""
    lines = []
    for claim in dict.fromkeys((*before, *now)):
        if claim not in before or claim not in now:
            lines.append(f"{claim}: measured only {'before' if claim in before else 'now'}")
            continue
        old, new = before[claim], now[claim]
        if old.seeds != new.seeds:
            lines.append(f"{claim}: seeds {old.seeds} before, {new.seeds} now")
            continue
        for arm in ("baseline", "method", "control"):
            rows, others = getattr(old, arm), getattr(new, arm)
            if (rows is None) != (others is None):
                lines.append(f"{claim}, {arm}: measured only {'before' if others is None else 'now'}")
            for seed, row, other in zip(old.seeds, rows or (), others or (), strict=False):
                if line := _difference(row, other):
                    lines.append(f"{claim}, {arm}, seed {seed}: {line}")
    return tuple(lines)


def _difference(row: tuple[float, ...], other: tuple[float, ...]) -> str:
    if len(row) != len(other):
        return f"{len(row)} values before, {len(other)} now"
    far = [(a, b) for a, b in zip(row, other, strict=True) if abs(a - b) > TOLERANCE * (1 + abs(a))]
    if not far:
        return ""
    a, b = max(far, key=lambda pair: abs(pair[0] - pair[1]))
    return f"{len(far)} of {len(row)} values differ, such as {a:g} before and {b:g} now"
