"""What the Gumbel-max trick draws when its uniform numbers lie on a grid, as those of floats do.

A float32 generator gives u = j 2^-24. The noise -log(-log u) then ends at 16.64, but what lies beyond is not cut away,
as in `trued.learn.gumbel.truncated`: it is rounded to the end. With eps = 2^-24 and r the odds against a class,
    P(class wins) = sum_{i >= 1} eps (1 - i eps)^r,    r = (1 - p) / p,
which is p (a / (e^a - 1)), a = eps r, but for terms of the order of eps. A class with p = eps keeps 58 % of its
probability; noise that is cut off would leave it 37 %.

Knows probabilities. Knows nothing of how they are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError
from trued.learn.gumbel.distribution import check_distribution

FLOAT32 = 2.0**-24


def rounded_gumbel_probs(
    p: Float[Tensor, "*batch classes"], *, step: float = FLOAT32
) -> Float[Tensor, "*batch classes"]:
    """Return the law of argmax_k (log p_k - log(-log u_k)) with every u_k rounded down to a multiple of `step`.

    Args:
        p: probabilities; each row sums to 1.
        step: of the grid; the law is exact up to terms of its order.

    Returns:
        float64 probabilities.

    Raises:
        InputError: rows that are not distributions, or a step outside (0, 1).
    """
    check_distribution(p, "p")
    if not 0 < step < 1:
        raise InputError(f"step is {step}: a grid on [0, 1) has a step between 0 and 1")
    p = p.double()
    a = (step * (1 - p) / p.clamp_min(1e-300)).clamp_min(1e-300)
    shares = torch.where(p > 0, p * a / torch.expm1(a), 0.0)  # e^a overflows to a share of 0
    return shares / shares.sum(-1, keepdim=True)


def rounded_move_law(
    p: Float[Tensor, " classes"], moves: Iterable[float], *, step: float = FLOAT32
) -> Float[Tensor, " classes"]:
    """Return the law of the class that a state moves to which is left with probability `move` in each step.

    As `trued.learn.gumbel.truncated.truncated_move_law`, with noise that is rounded.

    Args:
        p: the law of the classes.
        moves: the probability of leaving in each step; the last one is usually 1.
        step: of the grid.

    Raises:
        InputError: as `rounded_gumbel_probs`.
    """
    here, law = 1.0, torch.zeros_like(p, dtype=torch.float64)
    for move in moves:
        race = rounded_gumbel_probs(torch.cat([move * p.double(), p.new_tensor([1 - move]).double()]), step=step)
        law += here * race[:-1]
        here *= float(race[-1])
    return law
