"""What both laws of Gumbel noise start from: rows of probabilities."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from trued.errors import InputError


def check_distribution(p: Float[Tensor, "*batch classes"], name: str) -> None:
    """Check that each row holds numbers from 0 on that sum to 1, up to 1e-6.

    Args:
        p: the rows.
        name: what to call them in the error.

    Raises:
        InputError: they are no distributions.
    """
    sums = p.double().sum(-1)
    if bool((p < 0).any()) or not bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-6)):
        raise InputError(f"{name} is no distribution: its rows must be 0 or more and sum to 1")
