"""STRUCTURE: a penalty that keeps the neighbourhoods that a frozen encoder saw (arXiv 2506.16895).

For features X of a batch and their images A = f(X), each row normalised and the column means subtracted, in this order:

    P = row-softmax(Z Z^T / tau),    R(X, A) = 1/L sum_{l=1..L} 1/l JS(P_X^l, P_A^l)

P^l is the l-th power of the matrix: where a walk of l steps on the neighbourhood graph ends. JS is the Jensen-Shannon
divergence in nats, the mean over rows, so R lies between 0 and ln 2 sum_l 1/l / L. P_X carries no gradient.

The formula is as published summaries of the paper state it; the paper's own lambda, L and tau could not be verified,
and the defaults here come from the summaries and a pilot.

Knows two matrices whose rows belong together. Knows nothing of heads, of other losses or of where features come from.
"""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trued.errors import InputError
from trued.learn.unit import scaled_whole, unit_rows

Order = Literal["normalize_center", "center_normalize"]

FEW = 32  # rows below which a neighbourhood means little
SHARP = 0.99  # mean probability of staying above which the walk goes nowhere
BLOCK = 1024  # rows from which on the matrices are computed in blocks
TINY = 1e-12  # beside which a probability counts as zero inside a logarithm


class StructureLoss(nn.Module):
    """R(X, A), to be added to any loss on A.

    Args:
        levels: L, the longest walk. Higher powers flatten out, so 1 to 3 are of use.
        tau: the temperature of the neighbourhoods.
        order: "normalize_center" is the paper's. It is invariant to rotations and to scale of A, and to translations
            only as far as they leave directions alone. "center_normalize" is invariant to translations, too.
        mask_self: leave a row's similarity with itself out of the softmax. The paper keeps it; with a small tau it
            takes nearly all of the probability, and then the penalty is close to zero and teaches nothing.
        block: rows at a time from which on memory is kept linear in the rows, at the price of computing twice.

    Raises:
        InputError: a setting is outside what is described here.
    """

    def __init__(
        self, levels: int = 1, tau: float = 0.05, order: Order = "normalize_center", mask_self: bool = False,
        block: int = BLOCK,
    ) -> None:  # fmt: skip
        super().__init__()
        _check_settings(levels, tau, order, block)
        self.levels, self.tau, self.order, self.mask_self, self.block = levels, tau, order, mask_self, block
        self._walked: tuple[weakref.ref[Tensor], tuple[object, ...], list[Tensor]] | None = None

    def forward(self, x: Float[Tensor, "rows wide"], a: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
        """Return R(x, a). The walks on `x` are kept, and used again while the very same tensor and settings come in.

        Args:
            x: features of the frozen encoder.
            a: what the head makes of them.

        Raises:
            InputError: as `structure_loss`.
        """
        settings = {"tau": self.tau, "order": self.order, "mask_self": self.mask_self}
        if len(x) > self.block:
            return structure_loss(x, a, levels=self.levels, block=self.block, **settings)  # pyright: ignore
        targets = self._walks(x, settings)
        return structure_loss(x, a, levels=self.levels, block=self.block, targets=targets, **settings)  # pyright: ignore

    def _walks(self, x: Tensor, settings: dict[str, Any]) -> list[Tensor]:
        if x.is_inference():  # such a tensor counts no versions, so a change of it would not be seen
            return walks(x, levels=self.levels, **settings)
        key = (x._version, self.levels, *settings.values())
        if self._walked is None or self._walked[0]() is not x or self._walked[1] != key:
            self._walked = (weakref.ref(x), key, walks(x, levels=self.levels, **settings))
        return self._walked[2]

    def extra_repr(self) -> str:
        return f"levels={self.levels}, tau={self.tau:g}, order={self.order}, mask_self={self.mask_self}"


def structure_loss(
    x: Float[Tensor, "rows wide"],
    a: Float[Tensor, "rows dim"],
    *,
    levels: int = 1,
    tau: float = 0.05,
    order: Order = "normalize_center",
    mask_self: bool = False,
    block: int = BLOCK,
    targets: list[Float[Tensor, "rows rows"]] | None = None,
) -> Float[Tensor, ""]:
    """Return R(x, a), with a gradient to `a` alone; computed in float32 whatever the types.

    Up to `block` rows it holds matrices of rows times rows. Beyond, it goes through the rows in blocks and computes
    each anew in the backward pass, so that memory is linear in the rows.

    Args:
        x: features of the frozen encoder.
        a: what the head makes of them.
        levels, tau, order, mask_self, block: as `StructureLoss`.
        targets: the walks on `x`, where they are known already (`walks`); for up to `block` rows.

    Raises:
        InputError: other rows in `a` than in `x`, fewer than two, a row without a direction, or not finite.
    """
    _check_settings(levels, tau, order, block)
    if len(x) != len(a):
        raise InputError(f"{len(x)} rows of features and {len(a)} of their images: one image per row")
    with torch.autocast(a.device.type, enabled=False):
        z_a = _directions(a, order, "images")
        if len(x) <= block:
            known = targets or walks(x, levels=levels, tau=tau, order=order, mask_self=mask_self)
            pairs = zip(known, _powers(z_a, levels, tau, mask_self), strict=True)
            return torch.stack([_js(p, q).mean() / l for l, (p, q) in enumerate(pairs, 1)]).sum() / levels
        z_x = _directions(x.detach(), order, "features")
        _warn(z_x[:block], tau, mask_self)
        total = z_a.new_zeros(())
        for start in range(0, len(x), block):
            part = checkpoint(
                _block_loss,
                z_x,
                z_a,
                start,
                block,
                levels,
                tau,
                mask_self,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            total = total + part  # pyright: ignore
        return total / len(x)


@torch.no_grad()
def walks(
    x: Float[Tensor, "rows wide"], *, levels: int = 1, tau: float = 0.05, order: Order = "normalize_center",
    mask_self: bool = False,
) -> list[Float[Tensor, "rows rows"]]:  # fmt: skip
    """Return P^1 to P^L of the features: where walks of 1 to L steps end.

    Raises:
        InputError: as `structure_loss`.
    """
    z = _directions(x.detach(), order, "features")
    _warn(z, tau, mask_self)
    return list(_powers(z, levels, tau, mask_self))


def _powers(z: Tensor, levels: int, tau: float, mask_self: bool) -> Iterator[Tensor]:
    step = walk = _steps(z, 0, len(z), tau, mask_self)
    yield walk
    for _ in range(1, levels):
        walk = walk @ step
        yield walk


def _steps(z: Tensor, start: int, stop: int, tau: float, mask_self: bool) -> Float[Tensor, "part rows"]:
    """Rows `start` to `stop` of P."""
    similarity = z[start:stop] @ z.T / tau
    if mask_self:
        own = torch.arange(start, min(stop, len(z)), device=z.device)
        similarity = similarity.index_put((own - start, own), similarity.new_tensor(-math.inf))
    return similarity.softmax(1)


def _block_loss(
    z_x: Tensor, z_a: Tensor, start: int, block: int, levels: int, tau: float, mask_self: bool
) -> Float[Tensor, ""]:
    """The sum over rows `start` to `start + block` of sum_l JS / l, over L."""
    stop = start + block
    with torch.no_grad():
        p = _steps(z_x, start, stop, tau, mask_self)
    q = _steps(z_a, start, stop, tau, mask_self)
    total = _js(p, q).sum()
    for l in range(2, levels + 1):
        with torch.no_grad():
            p = _one_more(p, z_x, block, tau, mask_self)
        q = _one_more(q, z_a, block, tau, mask_self)
        total = total + _js(p, q).sum() / l
    return total / levels


def _one_more(walk: Tensor, z: Tensor, block: int, tau: float, mask_self: bool) -> Float[Tensor, "part rows"]:
    """walk @ P, with P made and dropped block by block."""
    result = torch.zeros_like(walk)
    for start in range(0, len(z), block):
        part = checkpoint(
            lambda walk, z, start: walk[:, start : start + block] @ _steps(z, start, start + block, tau, mask_self),
            walk, z, start, use_reentrant=False, preserve_rng_state=False,
        )  # fmt: skip
        result = result + part  # pyright: ignore
    return result


def _js(p: Float[Tensor, "part rows"], q: Float[Tensor, "part rows"]) -> Float[Tensor, " part"]:
    """Jensen-Shannon divergence of each row, in nats."""
    log_p, log_q, log_m = (x.clamp(min=TINY).log() for x in (p, q, (p + q) / 2))
    return (p * (log_p - log_m) + q * (log_q - log_m)).sum(1) / 2


def _directions(x: Tensor, order: Order, what: str) -> Float[Tensor, "rows dim"]:
    """Normalise rows and subtract the mean, in the order given, in float32."""
    if x.ndim != 2 or len(x) < 2:
        raise InputError(f"{what} of shape {tuple(x.shape)}: neighbourhoods need [rows, dim] with two rows at least")
    x = x.float()
    if not torch.isfinite(x).all():
        raise InputError(f"the {what} hold NaN or infinity: fix or drop those rows")
    if order == "center_normalize":
        x = scaled_whole(x)
        x = x - x.mean(0)
    zero = (x == 0).all(1)
    if zero.any():
        raise InputError(f"row {int(zero.nonzero()[0])} of the {what} is zero: it has no direction; drop it")
    z = unit_rows(x)
    return z - z.mean(0) if order == "normalize_center" else z


def _warn(z: Tensor, tau: float, mask_self: bool) -> None:
    """Say it where neighbourhoods mean nothing; `z` are some of the rows."""
    if len(z) < FEW:
        warnings.warn(f"a batch of {len(z)}: below {FEW} rows a neighbourhood means little", stacklevel=3)
    if mask_self:
        return
    staying = float(_steps(z, 0, len(z), tau, mask_self).diagonal().mean())
    if staying > SHARP:
        warnings.warn(
            f"at tau {tau:g} a row's neighbourhood is itself (probability {staying:.3f}): the penalty teaches nothing; "
            "raise tau, or set mask_self",
            stacklevel=3,
        )


def _check_settings(levels: int, tau: float, order: Order, block: int) -> None:
    if levels < 1 or block < 2:
        raise InputError(f"levels {levels} and block {block}: expected 1 and 2 at least")
    if not 0 < tau < math.inf:
        raise InputError(f"tau {tau}: expected a finite number above 0")
    if order not in get_args(Order):
        raise InputError(f"unknown order {order!r}: one of {', '.join(get_args(Order))}")
