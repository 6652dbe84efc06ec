"""Confidence-ordered decoding of masked models (MaskGIT, arXiv 2202.04200): the usual way, which is not a law.

Each call draws a token for every masked position and keeps those that the network is surest of. Few calls give clean
sequences, since what is unsure is left until the rest is settled; it also makes them alike. No process of the model has
this order, so nothing measured on it says anything about the model's own distribution.

Knows a masked model. Knows nothing of schedules' laws or of text.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.state import Filling, SampleResult, refuse_causal
from trued.learn.categorical import Draw


def confidence(
    model: MaskedModel,
    start: Int[Tensor, "batch length"],
    steps: int,
    *,
    choice_temperature: float = 4.5,
    draw: Draw = "inverse_cdf64",
    temperature: float = 1.0,
    top_p: float = 1.0,
    generator: torch.Generator,
) -> SampleResult:
    """Unmask in `steps` calls, the surest tokens first; cos(pi/2 k/N) of the positions are left after k calls.

    Args:
        model: the masked model.
        start: ids; given tokens stay.
        steps: the number of calls N.
        choice_temperature: of the Gumbel noise on the confidence, which falls to 0 over the calls; 0 is greedy.
        draw, temperature, top_p, generator: as in `first_hitting`.

    Raises:
        InputError: fewer than one call, a model that reads from left to right, or settings that do not fit.
    """
    if steps < 1 or choice_temperature < 0:
        raise InputError(f"steps is {steps} and choice_temperature {choice_temperature}: at least 1, and 0 or more")
    refuse_causal(model, "confidence")
    filling = Filling(model, start, draw=draw, temperature=temperature, top_p=top_p, generator=generator)
    whole = filling.masked.sum(1)
    for step in range(1, steps + 1):
        masked = filling.masked
        rows = masked.any(1).nonzero()[:, 0]
        if not len(rows):
            break
        where = masked[rows]
        logs = filling.log_probs(rows, where, whole[rows].double().clamp_min(1).reciprocal() * where.sum(1))
        tokens = filling.draw_tokens(logs)
        sure = torch.full(where.shape, -math.inf, dtype=torch.float64)
        u = torch.rand(len(tokens), generator=generator, dtype=torch.float64).clamp_min(2.0**-54)
        noise = choice_temperature * (1 - step / steps) * -(-u.log()).log()
        sure[where] = logs.gather(-1, tokens[:, None])[:, 0].double() + noise
        keep = where.sum(1) - (whole[rows] * math.cos(math.pi / 2 * step / steps)).floor().long()
        keep = keep.clamp_min(1) if step < steps else where.sum(1)
        rank = sure.argsort(-1, descending=True).argsort(-1)
        surest = where & (rank < keep[:, None])
        drawn = torch.zeros(where.shape, dtype=torch.long)
        drawn[where] = tokens
        filling.ids[rows] = torch.where(surest, drawn, filling.ids[rows])
    return filling.result("the order is that of confidence, which no law of the model has")
