"""Does a stated confidence mean what it says? Expected calibration error and Brier score.

Knows confidences and outcomes. Knows nothing of how a confidence was worded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trued.errors import InputError


@dataclass(frozen=True)
class Bin:
    """Replies of similar confidence: how many, their mean confidence, and the share of them that is right."""

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How stated confidences and outcomes agree.

    Args:
        n: replies that state a confidence.
        ece: mean distance of confidence and accuracy over the bins, weighted by their size (Naeini et al. 2015).
        brier: mean squared distance of confidence and outcome (Brier 1950); 0 is perfect.
        bins: those that hold any reply.
    """

    n: int
    ece: float
    brier: float
    bins: tuple[Bin, ...]

    @property
    def confidence(self) -> float:
        """The mean of the stated confidences."""
        return sum(part.n * part.confidence for part in self.bins) / self.n

    @property
    def accuracy(self) -> float:
        """The share of the replies that is right."""
        return sum(part.n * part.accuracy for part in self.bins) / self.n


def calibration(confidences: Sequence[float], correct: Sequence[bool], *, bins: int = 10) -> Calibration:
    """Compare confidences from 0 to 1 with outcomes, in bins of equal width; 1 belongs to the last.

    Raises:
        InputError: nothing to compare, lengths that differ, a confidence outside [0, 1], or no bins.
    """
    p, hit = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    if p.shape != hit.shape or p.ndim != 1 or not len(p):
        raise InputError(f"{len(p)} confidences and {len(hit)} outcomes: one of each, and at least one")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"confidences range from {p.min():g} to {p.max():g}: expected shares from 0 to 1")
    if bins < 1:
        raise InputError(f"bins is {bins}: expected at least 1")
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    mean_p, mean_hit = (np.bincount(place, values, minlength=bins) / np.maximum(count, 1) for values in (p, hit))
    ece = float((count * np.abs(mean_p - mean_hit)).sum() / len(p))
    filled = tuple(Bin(int(count[i]), float(mean_p[i]), float(mean_hit[i])) for i in np.flatnonzero(count))
    return Calibration(len(p), ece, float(((p - hit) ** 2).mean()), filled)


def stated_calibration(
    replies: Sequence[str], correct: Sequence[bool | int], stated: Callable[[str], float | None]
) -> dict[str, float]:
    """Compare the confidences that replies state with whether they are right, as plain data.

    Args:
        stated: returns a reply's confidence, or None for one that states none, which is left out.

    Returns:
        "n", and if that is not 0 "confidence" and "accuracy", both means, "ece" and "brier".
    """
    pairs = [(stated(reply), bool(right)) for reply, right in zip(replies, correct, strict=True)]
    pairs = [(value, right) for value, right in pairs if value is not None]
    if not pairs:
        return {"n": 0}
    result = calibration([value for value, _ in pairs], [right for _, right in pairs])
    return {"confidence": result.confidence, "accuracy": result.accuracy} | {
        name: getattr(result, name) for name in ("n", "ece", "brier")
    }
