"""The windowed mean of a reply's log-probabilities, the score that C-AdvIPO compares (arXiv 2405.15589)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trued.errors import InputError


def windowed_mean(
    log_probs: Float[Tensor, "*batch time"],
    mask: Bool[Tensor, "*batch time"],
    lo: float = -math.inf,
    hi: float = 0.0,
) -> Float[Tensor, "*batch"]:
    """Average per-token log-probabilities, tokens outside [lo, hi] adding nothing but counting in the length.

    The reply score of C-AdvIPO (arXiv 2405.15589; cutoffs of its released code):
    sum_t 1[lo <= log p_t <= hi] log p_t / |y|. A token that has left the window no longer pulls: its gradient is zero.

    Args:
        log_probs: log-probability of every token, in nats; what lies outside the mask is ignored, NaN included.
        mask: True on the reply's tokens.
        lo: lower cutoff, inclusive (the paper's code: -5 for rejected replies, none for chosen ones).
        hi: upper cutoff, inclusive.

    Raises:
        InputError: an empty window, or a reply without tokens.
    """
    if not lo <= hi:
        raise InputError(f"the window [{lo}, {hi}] is empty: lo is at most hi")
    lengths = mask.sum(-1)
    if (lengths == 0).any():
        raise InputError("a reply has no tokens under its mask: there is nothing to average")
    inside = mask & (log_probs >= lo) & (log_probs <= hi)
    return torch.where(inside, log_probs, 0).sum(-1) / lengths
