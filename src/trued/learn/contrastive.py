"""Contrastive losses on two sets of vectors, with what they need beside them: a temperature, a mask, a queue.

Knows vectors that belong together row by row. Knows nothing of what made them, or of how a model is trained.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from trued.errors import InputError
from trued.learn.unit import unit_rows


class Temperature(nn.Module):
    """A learnable scale s = exp(t) of cosines, the inverse of the temperature (CLIP, arXiv 2103.00020, section 2.3).

    Args:
        tau: the temperature at the start.
        most: the largest scale; beyond it training becomes unstable.
    """

    def __init__(self, tau: float = 0.07, *, most: float = 100.0) -> None:
        super().__init__()
        if not 1 / most <= tau < math.inf:
            raise InputError(f"temperature {tau}: expected {1 / most:g} at least, the inverse of the largest scale")
        self.most = most
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / tau)))

    def forward(self) -> Float[Tensor, ""]:
        """Return the scale, held at its largest value; the gradient passes the bound, so that it can come back."""
        scale = self.log_scale.exp()
        return scale + (scale.clamp(max=self.most) - scale).detach()


def same_pairs(*identities: Sequence[Hashable]) -> Bool[Tensor, "rows rows"]:
    """Return which two different rows show the same thing by any of their identities, and so are no negatives.

    Args:
        identities: for each kind (picture, text), what each row shows; a caption that stands in several rows is one.

    Raises:
        InputError: lists that differ in length, or none.
    """
    if not identities or any(len(names) != len(identities[0]) for names in identities):
        raise InputError(
            f"identities of {', '.join(str(len(kind)) for kind in identities) or 'no'} rows: one of each per row"
        )
    same = torch.zeros(len(identities[0]), len(identities[0]), dtype=torch.bool)
    for kind in identities:
        numbers: dict[Hashable, int] = {}
        index = torch.tensor([numbers.setdefault(identity, len(numbers)) for identity in kind])
        same |= index[:, None] == index[None, :]
    return same.fill_diagonal_(False)


def info_nce(
    a: Float[Tensor, "rows dim"],
    b: Float[Tensor, "rows dim"],
    scale: float | Float[Tensor, ""],
    *,
    same: Bool[Tensor, "rows rows"] | None = None,
    more: Float[Tensor, "queued dim"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE in one direction: each row of `a` has to find its own row of `b` (arXiv 1807.03748, Eq. 4).

    With unit vectors and logits_ij = s <a_i, b_j>, the loss is the mean of -log softmax(logits_i)_i.

    Args:
        a, b: what belongs together, row by row; made unit length here.
        scale: s, the inverse temperature.
        same: pairs of rows that are left out of the denominators, as `same_pairs` gives them.
        more: further negatives for every row of `a`, such as a queue.

    Raises:
        InputError: shapes that differ.
    """
    a, b = _units(a, b)
    logits = _masked(scale * a @ b.T, same)
    if more is not None:
        logits = torch.cat([logits, scale * a @ unit_rows(more.float()).T], 1)
    return F.cross_entropy(logits, torch.arange(len(a), device=a.device))


def clip_loss(
    a: Float[Tensor, "rows dim"],
    b: Float[Tensor, "rows dim"],
    scale: float | Float[Tensor, ""],
    *,
    same: Bool[Tensor, "rows rows"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: the mean of both directions, from one matrix of logits (CLIP, arXiv 2103.00020, Figure 3).

    Args, Raises: as `info_nce`.
    """
    a, b = _units(a, b)
    logits, own = _masked(scale * a @ b.T, same), torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def siglip_loss(
    a: Float[Tensor, "rows dim"],
    b: Float[Tensor, "rows dim"],
    scale: float | Float[Tensor, ""],
    *,
    bias: float | Float[Tensor, ""] = -10.0,
    same: Bool[Tensor, "rows rows"] | None = None,
) -> Float[Tensor, ""]:
    """Sigmoid loss: every pair is judged by itself, which needs no denominators (SigLIP, arXiv 2303.15343, Eq. 1).

    With z_ij = 1 for i = j and -1 otherwise, it is -1/rows sum_ij log sigmoid(z_ij (s <a_i, b_j> + bias)).

    Args:
        a, b, scale, same: as `info_nce`.
        bias: what balances the many negatives at the start.

    Raises:
        InputError: shapes that differ.
    """
    a, b = _units(a, b)
    signs = 2 * torch.eye(len(a), device=a.device) - 1
    losses = -F.logsigmoid(signs * (scale * a @ b.T + bias))
    return (losses if same is None else losses.masked_fill(same, 0.0)).sum() / len(a)


class Queue(nn.Module):
    """The most recent rows, first in, first out, as further negatives (MoCo, arXiv 1911.05722).

    What is queued carries no gradient, and is saved with the model. Until it is full, only what came in is given.

    Args:
        capacity: rows that it holds.
        width: numbers in a row.
    """

    held: Tensor
    count: Tensor
    next: Tensor

    def __init__(self, capacity: int, width: int) -> None:
        super().__init__()
        if capacity < 1 or width < 1:
            raise InputError(f"a queue of {capacity} rows of {width} numbers: both are at least 1")
        self.register_buffer("held", torch.zeros(capacity, width))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("next", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return int(self.count)

    def rows(self) -> Float[Tensor, "queued width"]:
        """Return a copy of what is held, in no particular order."""
        return self.held[: len(self)].clone()

    @torch.no_grad()
    def push(self, rows: Float[Tensor, "rows width"]) -> None:
        """Take rows in; the oldest leave where there is no room. Of more rows than it holds, it keeps the last ones."""
        capacity = len(self.held)
        rows = rows.detach()[-capacity:].to(self.held)
        places = (int(self.next) + torch.arange(len(rows), device=rows.device)) % capacity
        self.held[places] = rows
        self.next.fill_((int(self.next) + len(rows)) % capacity)
        self.count.clamp_(min=min(capacity, int(self.count) + len(rows)))


def _units(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors in float32: in a narrower type a softmax over thousands of logits loses its small terms."""
    if a.ndim != 2 or a.shape != b.shape:
        raise InputError(f"vectors of shapes {tuple(a.shape)} and {tuple(b.shape)}: expected [rows, dim], alike")
    return unit_rows(a.float()), unit_rows(b.float())


def _masked(logits: Tensor, same: Tensor | None) -> Tensor:
    if same is None:
        return logits
    if same.shape != logits.shape or same.diagonal().any():
        raise InputError(
            f"same has shape {tuple(same.shape)} for {len(logits)} rows, or marks a row and itself: use same_pairs"
        )
    return logits.masked_fill(same.to(logits.device), -math.inf)
