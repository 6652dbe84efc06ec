"""Tests that may be looked at after every outcome: e-processes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from trued.learn.statistics.arguments import booleans, share


def e_process(outcomes: ArrayLike, p0: float) -> Float[np.ndarray, " outcomes"]:
    """Log wealth of a bettor against "the success rate is at most p0", after every outcome.

    Before outcome x_t it stakes lambda_t >= 0 and its wealth is multiplied by 1 + lambda_t (x_t - p0) (testing by
    betting, Waudby-Smith and Ramdas, arXiv 2010.09686); lambda_t = (q - p0) / (p0 (1 - p0)) with q the
    Krichevsky-Trofimov estimate (s + 1/2) / (t + 1) of the past, raised to p0 where it is below. Under the null
    hypothesis, and without independence, wealth ever reaching 1 / alpha has probability at most alpha (Ville), so
    `exp` of the running maximum may be looked at after every outcome: reject once it exceeds log(1 / alpha).
    For "at least p0", pass the negated outcomes and 1 - p0.

    Args:
        outcomes: booleans in the order of their arrival.
        p0: the rate that is still acceptable, inside (0, 1).

    Raises:
        InputError: no outcomes, values other than true and false, or p0 outside (0, 1).
    """
    x = booleans(outcomes, "outcomes")
    share(p0, "p0")
    t = np.arange(len(x))
    q = np.maximum(p0, (np.cumsum(x) - x + 0.5) / (t + 1))
    return np.cumsum(np.where(x, np.log(q / p0), np.log((1 - q) / (1 - p0))))
