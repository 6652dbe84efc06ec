"""Pick lambda, the length of the walks and their temperature on a validation split.

Knows the aligner and its settings. Knows nothing of test data: give it none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from trued.errors import InputError
from trued.representation.structure.train import Aligner, Features


@dataclass(frozen=True)
class Trial:
    """One setting, and the best recall that it reached in validation."""

    aligner: Aligner
    recall: float


def sweep(
    aligner: Aligner,
    features: Features,
    validation: Features,
    *,
    lams: Sequence[float] = (1, 10, 100),
    levels: Sequence[int] = (1, 2, 3),
    taus: Sequence[float] = (0.05, 0.1, 0.2),
    progress: bool = True,
) -> list[Trial]:
    """Train once for every combination, and return the trials, the best one first; of equals, the first in the grid.

    Args:
        aligner: what all have in common.
        features, validation: as `Aligner.align`.
        lams, levels, taus: the grid.
        progress: show a bar for each training.

    Raises:
        InputError: an empty grid, or as `Aligner.align`.
    """
    grid = [replace(aligner, lam=lam, levels=l, tau=tau) for lam, l, tau in product(lams, levels, taus)]
    if not grid:
        raise InputError("the grid is empty: give one lambda, one number of levels and one tau at least")
    trials = []
    for candidate in grid:
        _, result = candidate.align(features, validation=validation, progress=progress)
        if result is None or result.best_value is None:
            raise InputError("the closed form without a penalty has nothing to sweep: give lambda above 0")
        trials.append(Trial(candidate, result.best_value))
    return sorted(trials, key=lambda trial: -trial.recall)
