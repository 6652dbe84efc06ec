"""Many tests at once: Holm's adjustment of their p-values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from trued.errors import InputError
from trued.learn.statistics.arguments import row


def holm(p_values: ArrayLike) -> Float[np.ndarray, " tests"]:
    """Holm's step-down adjustment (Holm 1979): reject where it is at most alpha, and the family-wise error is alpha.

    Raises:
        InputError: no p-values, or one outside [0, 1].
    """
    p = row(p_values, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"p_values range from {p.min()} to {p.max()}: expected numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    result = np.empty_like(p)
    result[order] = adjusted
    return result
