"""Probe sampling: a small draft model sorts the candidates, the target scores the few that matter (arXiv 2403.01251).

How far the draft is trusted is measured at each step: on a probe of the candidates that both models score.

Knows losses of candidates. Knows nothing of models, text or search.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr
from torch import Tensor

PROBE = 16  # of B candidates, B / 16 are the probe
REDUCTION = 8  # and at most B / 8 are kept after it

Score = Callable[[Int[Tensor, "rows n"]], tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]]


@dataclass(frozen=True)
class Probed:
    """The candidates that the target scored.

    Args:
        rows: which candidates, the probe first.
        losses: the target's loss of each.
        exact: whether the target's greedy decoding gives exactly the reply.
        agreement: alpha = (1 + rho) / 2, of Spearman's rho between both models on the probe.
        kept: how many of the draft's best were to be scored beside the probe.
    """

    rows: Int[Tensor, " scored"]
    losses: Float[Tensor, " scored"]
    exact: Bool[Tensor, " scored"]
    agreement: float
    kept: int


def probe_sample(candidates: Int[Tensor, "B n"], target: Score, draft: Score, *, generator: torch.Generator) -> Probed:
    """Score some of B candidates with the target: a random probe, and the best by the draft (paper, Algorithm 1).

    With rho the rank correlation of both models' losses on the probe of B / 16 candidates and alpha = (1 + rho) / 2,
    the floor((1 - alpha) B / 8) candidates of least draft loss are kept, one at least. None is scored twice.

    Args:
        candidates: token ids.
        target: the losses that count.
        draft: losses that cost less, of which only the order is used.
        generator: draws the probe.
    """
    count = len(candidates)
    size = min(count, max(2, count // PROBE))  # a single candidate has no rank correlation
    probe = torch.randperm(count, generator=generator, device=generator.device)[:size].cpu()
    guesses, _ = draft(candidates)
    losses, exact = target(candidates[probe])
    alpha = (1 + rank_correlation(losses, guesses[probe])) / 2
    keep = max(1, math.floor((1 - alpha) * count / REDUCTION + 1e-9))  # rho is exact to rounding only
    best = guesses.argsort(stable=True)[:keep]
    more = best[~torch.isin(best, probe)]
    if len(more):
        further, further_exact = target(candidates[more])
        losses, exact = torch.cat([losses, further]), torch.cat([exact, further_exact])
    return Probed(torch.cat([probe, more]), losses, exact, alpha, keep)


def rank_correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float:
    """Return Spearman's rho; 0, which tells nothing, where either has no order (one value, or all equal)."""
    if len(a) < 2 or bool((a == a[0]).all()) or bool((b == b[0]).all()):
        return 0.0
    rho, _ = spearmanr(a.double().numpy(), b.double().numpy())
    return float(rho)  # pyright: ignore
