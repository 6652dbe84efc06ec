"""Ancestral sampling of masked diffusion models: the reverse process on a grid of times, as MDLM does it.

From time t to s < t each masked position becomes token v with probability (alpha_s - alpha_t) / (1 - alpha_t) mu[v] and
stays masked with probability (1 - alpha_s) / (1 - alpha_t), all positions at once. A network without a clock need not
be asked again while nothing has changed, which leaves N (1 - (1 - 1/N)^L) calls a row on the linear grid; but the draws
of every masked position in every step remain.

Knows a masked model and a schedule. Knows nothing of text.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.schedule import LINEAR, MaskSchedule
from trued.generation.masked.state import EXACT, Filling, SampleResult, refuse_causal
from trued.learn.categorical import Draw, sample_or_stay


def ancestral(
    model: MaskedModel,
    start: Int[Tensor, "batch length"],
    steps: int,
    *,
    schedule: MaskSchedule = LINEAR,
    cache: bool = True,
    draw: Draw = "gumbel64",
    temperature: float = 1.0,
    top_p: float = 1.0,
    generator: torch.Generator,
) -> SampleResult:
    """Unmask in `steps` steps of equal length in time; the law is the model's own as their number grows.

    Args:
        model: the masked model.
        start: ids; given tokens stay.
        steps: the paper's N.
        schedule: of the masking.
        cache: ask a network without a clock only about rows that changed.
        draw: with a race, each masked position has vocab + 1 random numbers in every step, as in the reference; with
            "two_stage" it has one, and the vocabulary is looked at only where a token appears. Both have the same law.
        temperature, top_p: of the tokens; when a token appears does not depend on them.
        generator: of all draws.

    Raises:
        InputError: fewer than one step, a model that reads from left to right, or settings that do not fit.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}: ancestral sampling needs at least 1")
    refuse_causal(model, "ancestral")
    filling = Filling(model, start, draw=draw, temperature=temperature, top_p=top_p, generator=generator)
    grid = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
    q = schedule.masked(grid)
    q[-1] = 0.0  # whatever is left is unmasked in the last step, where a schedule ends only nearly at 0
    known: Tensor | None = None  # log-probabilities of the masked positions, row by row
    changed = torch.ones(len(start), dtype=torch.bool)
    for step in range(steps):
        masked = filling.masked
        if not bool(masked.any()):
            break
        t, s = grid[step], grid[step + 1]
        if known is None or model.timed or not cache:
            changed[:] = True
        known = _refreshed(filling, known, masked, changed, t)
        move = float((1 - q[step + 1] / q[step]).clamp(0.0, 1.0))
        drawn = sample_or_stay(known, move, draw=draw, generator=generator)
        filling.draws += len(drawn)
        moved = drawn < model.vocab
        places = masked.nonzero()
        rows, columns = places[moved].unbind(1)
        filling.ids[rows, columns] = drawn[moved]
        filling.hit_times[rows, columns] = s
        changed = torch.zeros(len(start), dtype=torch.bool)
        changed[rows] = True
        if bool(moved.any()):
            known = known[~moved]
    exact = filling.most_masked < 2 and not model.timed
    plural = "s" if steps > 1 else ""
    return filling.result(EXACT if exact else f"{steps:,} step{plural}, whose tokens are independent given the rest")


def _refreshed(filling: Filling, known: Tensor | None, masked: Tensor, changed: Tensor, t: Tensor) -> Tensor:
    """Ask about the changed rows; the other rows keep what is known of them."""
    rows = (changed & masked.any(1)).nonzero()[:, 0]
    if not len(rows):
        assert known is not None
        return known
    fresh = filling.log_probs(rows, masked[rows], t.expand(len(rows)))
    if known is None or len(fresh) == int(masked.sum()):
        return fresh
    known[changed[masked.nonzero()[:, 0]]] = fresh
    return known
