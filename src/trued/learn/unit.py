"""Rows of length 1, whatever their size: squares of float32 overflow from 1e19 on, and vanish below 1e-23."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def unit_rows(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Return each row divided by its Euclidean norm; a row of zeros stays one.

    Rows are first scaled by a power of two to a largest magnitude near 1. That is exact, so rows of usual size come out
    as they would without it.
    """
    return F.normalize(scaled_rows(x), dim=-1)


def scaled_rows(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Return each row times the power of two that brings its largest magnitude into [0.5, 1)."""
    return x * _scale(x.detach().abs().amax(-1, keepdim=True))


def scaled_whole(x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Return all rows times one power of two, which brings the largest magnitude of them into [0.5, 1)."""
    return x * _scale(x.detach().abs().amax())


def _scale(size: Tensor) -> Tensor:
    """The power of two that brings `size` into [0.5, 1), as far as float32 has it."""
    exponent = torch.frexp(size.float()).exponent.clamp(-126, 126)
    return torch.ldexp(torch.ones_like(size), -exponent)
