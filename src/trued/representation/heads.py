"""Alignment heads: what is trained on top of a frozen encoder to reach the shared space, and a closed form of it.

Knows matrices of features. Knows nothing of encoders, losses or training.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trued.errors import InputError

Kind = Literal["linear", "mlp", "csa"]


class Standardize(nn.Module):
    """Shift and scale every feature to mean 0 and variance 1 of the rows it was made from; constant ones become 0.

    Layers of one network differ in scale by orders of magnitude, and a few coordinates of a language model's hidden
    states dwarf the rest. A head that is trained on both with one learning rate needs this; so do neighbourhoods.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @classmethod
    def of(cls, x: Float[Tensor, "rows width"]) -> Standardize:
        """Make it from training rows.

        Raises:
            InputError: fewer than two rows, or not finite.
        """
        if x.ndim != 2 or len(x) < 2:
            raise InputError(f"features of shape {tuple(x.shape)}: expected [rows, width], two rows at least")
        finite = torch.isfinite(x).all(1)
        if not finite.all():
            raise InputError(f"row {int((~finite).nonzero()[0])} of the features is not finite: fix or drop it")
        made = cls(x.shape[1])
        std, mean = torch.std_mean(x.double(), 0, correction=0)
        constant = std <= 1e-6 * mean.abs().clamp(min=1e-12)
        made.mean.copy_(mean)
        made.scale.copy_(torch.where(constant, 0.0, 1 / std.where(~constant, torch.ones_like(std))))
        return made

    def forward(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        return (x - self.mean) * self.scale


def linear(width: int, dim: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear head, at first with orthogonal rows or columns: it begins by keeping angles as well as it can."""
    head = nn.Linear(width, dim)
    nn.init.orthogonal_(head.weight, generator=generator)
    nn.init.zeros_(head.bias)
    return head


def mlp(width: int, hidden: int, dim: int, generator: torch.Generator) -> nn.Sequential:
    """Return a head with one hidden layer: linear, GELU, linear."""
    first, second = nn.Linear(width, hidden), nn.Linear(hidden, dim)
    for layer in (first, second):
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)  # as PyTorch begins, seeded
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.GELU(), second)


@torch.no_grad()
def canonical(
    x: Float[Tensor, "rows wide"], y: Float[Tensor, "rows narrow"], dim: int, *, ridge: float = 0.1
) -> tuple[nn.Linear, nn.Linear]:
    """Return linear heads in closed form, from canonical correlations (the paper's "CSA"; arXiv 2410.07610).

    With whitened covariances, svd(C_xx^-1/2 C_xy C_yy^-1/2) = U diag(rho) V^T. The heads are diag(sqrt(rho)) U^T
    C_xx^-1/2 and diag(sqrt(rho)) V^T C_yy^-1/2 of the centred features, so that inner products in the shared space
    weigh the canonical directions by how much they correlate, as CSA's similarity does.

    Args:
        x, y: features of the same rows.
        dim: of the shared space; directions beyond what the data have are zero.
        ridge: added to the covariances' diagonals, in units of their mean: with fewer rows than features every
            correlation would be 1 without it.

    Raises:
        InputError: not the same rows, fewer than two, or a ridge that is not above 0.
    """
    if len(x) != len(y) or len(x) < 2:
        raise InputError(f"{len(x)} and {len(y)} rows: expected the same rows on both sides, two at least")
    if not 0 < ridge < math.inf:
        raise InputError(f"ridge {ridge}: expected a finite number above 0")
    (a, mean_a, white_a), (b, mean_b, white_b) = _whitened(x, ridge), _whitened(y, ridge)
    u, rho, vt = torch.linalg.svd(white_a @ (a.T @ b / len(a)) @ white_b, full_matrices=False)
    rank = min(dim, len(rho))
    heads = []
    for mean, white, directions in ((mean_a, white_a, u), (mean_b, white_b, vt.T)):
        head = nn.Linear(len(mean), dim)
        weight = rho[:rank].sqrt()[:, None] * (white @ directions[:, :rank]).T
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        head.weight[:rank] = weight.float()
        head.bias[:rank] = -(weight @ mean).float()
        heads.append(head)
    return heads[0], heads[1]


def _whitened(x: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Centred features, their mean, and (C + r tr(C)/d)^-1/2, in float64."""
    a = x.double()
    mean = a.mean(0)
    a = a - mean
    values, vectors = torch.linalg.eigh(a.T @ a / len(a))
    level = ridge * values.clamp(min=0).mean()
    if not level > 0:
        raise InputError("the features of one side are constant: they correlate with nothing")
    return a, mean, (vectors * (values.clamp(min=0) + level).rsqrt()) @ vectors.T
