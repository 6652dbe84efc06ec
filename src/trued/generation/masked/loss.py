"""Training and evaluating masked models: the bound over times, and the same bound without any time.

The negative evidence lower bound of a masked diffusion model integrates over times t
    int_0^1 rate(t) E[ sum over masked l of -log mu^l(x_t)[x_0^l] ] dt,      rate(t) = -alpha'_t / (1 - alpha_t).
Counting the masked tokens instead gives a sum without t, the same for every schedule (arXiv 2409.02908, Section 3):
    sum_{n=1}^{L} 1/n E[ sum over masked l of -log mu^l(x_n)[x_0^l] ],       x_n with a uniform n-subset masked,
which is the loss of an any-order autoregressive model.

Knows ids, masks and logits. Knows nothing of text or of how a model is trained.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.schedule import LINEAR, MaskSchedule


def masked_nelbo(
    model: MaskedModel,
    ids: Int[Tensor, "batch length"],
    *,
    n: Int[Tensor, " batch"] | None = None,
    schedule: MaskSchedule = LINEAR,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " batch"]:
    """An unbiased estimate of the bound, in nats a sequence, from one masked version of each: (L / n) sum of -log mu.

    Args:
        model: the masked model.
        ids: whole sequences, without MASK.
        n: how many tokens to mask in each, uniform on 1..L for an unbiased estimate; by default a draw that is
            stratified over the batch.
        schedule: read by a timed model only: it receives the time at which n of L tokens are masked on average.
        generator: of the masks; None draws from PyTorch's default generator, which `learn.fit` seeds every step.

    Raises:
        InputError: `n` outside 1..L, or MASK among the ids.
    """
    batch, L = _whole(model, ids)
    if n is None:
        n = (_stratified(batch, ids.device, generator) * L).floor().long() + 1
    if bool(((n < 1) | (n > L)).any()):
        raise InputError(f"n runs from {int(n.min())} to {int(n.max())}: between 1 and {L} tokens are masked")
    order = torch.rand(batch, L, generator=generator, device=ids.device).argsort(-1)
    masked = torch.zeros_like(ids, dtype=torch.bool).scatter_(1, order, torch.arange(L, device=ids.device) < n[:, None])
    time = schedule.time((n.double() / L).log()) if model.timed else None
    return _surprisal(model, ids, masked, time) * (L / n)


def mdm_nelbo(
    model: MaskedModel,
    ids: Int[Tensor, "batch length"],
    *,
    schedule: MaskSchedule = LINEAR,
    weight: MaskSchedule | None = None,
    t: Float[Tensor, " batch"] | None = None,
    earliest: float = 1e-4,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " batch"]:
    """An estimate of the bound, in nats a sequence, from one time for each: rate(t) times the sum of -log mu.

    Args:
        schedule: how likely a token is masked at time t.
        weight: the schedule whose rate weighs the sum; another one than `schedule` gives a wrong bound, a control.
        t: the times, uniform on [earliest, 1]; by default a draw that is stratified over the batch.
        earliest: times before it are left out: the linear rate 1/t has no variance otherwise, and the bound loses
            about `earliest` of a token's share.
        generator: as in `masked_nelbo`.

    Raises:
        InputError: times outside (0, 1], or MASK among the ids.
    """
    batch, L = _whole(model, ids)
    if t is None:
        t = earliest + (1 - earliest) * _stratified(batch, ids.device, generator)
    if bool(((t <= 0) | (t > 1)).any()):
        raise InputError(f"times run from {float(t.min()):g} to {float(t.max()):g}: they lie in (0, 1]")
    chance = schedule.masked(t)
    u = torch.rand(batch, L, generator=generator, dtype=torch.float64, device=ids.device)
    surprisal = _surprisal(model, ids, u < chance[:, None], t if model.timed else None)
    return surprisal * ((weight or schedule).rate(t) * (1 - earliest)).to(surprisal.dtype)


def causal_nll(model: MaskedModel, ids: Int[Tensor, "batch length"]) -> Float[Tensor, " batch"]:
    """The negative log-likelihood of each sequence under a model that reads from left to right, in nats: no bound.

    Args:
        model: one whose logits at a position depend on the tokens before it alone.

    Raises:
        InputError: MASK among the ids.
    """
    _whole(model, ids)
    return _surprisal(model, ids, torch.ones_like(ids, dtype=torch.bool), None, hide=False)


def _surprisal(model: MaskedModel, ids: Tensor, masked: Tensor, time: Tensor | None, *, hide: bool = True) -> Tensor:
    """The sum of -log mu[x_0] over the masked positions of each row; MASK itself is never predicted."""
    logits = model(ids.masked_fill(masked, model.mask_id) if hide else ids, masked, time).float()
    targets, rows = ids[masked], masked.nonzero()[:, 0]
    if model.mask_id == logits.shape[-1] - 1:
        logits = logits[:, :-1]  # a view; ruling it out would copy what is the largest tensor of a training step
    else:
        logits = logits.index_fill(-1, torch.tensor([model.mask_id], device=logits.device), -torch.inf)
    surprisal = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return surprisal.new_zeros(len(ids)).index_add(0, rows, surprisal)


def _stratified(count: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """One uniform number in each of `count` equal parts of [0, 1), in random order."""
    place = torch.randperm(count, generator=generator, device=device)
    return (place + torch.rand(count, generator=generator, dtype=torch.float64, device=device)) / count


def _whole(model: MaskedModel, ids: Tensor) -> tuple[int, int]:
    if bool((ids == model.mask_id).any()):
        raise InputError(f"the ids hold MASK ({model.mask_id}): the bound is on whole sequences")
    return ids.shape[0], ids.shape[1]
