"""One dataclass for all samplers of masked models, so that a command or a file of settings can choose among them.

Knows the samplers' names and settings. Knows nothing of text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from trued.errors import InputError, nearest
from trued.generation.masked.ancestral_steps import ancestral
from trued.generation.masked.confidence_order import confidence
from trued.generation.masked.first_hitting import Hits, first_hitting
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.parallel_hitting import Cut, Variant, parallel_first_hitting
from trued.generation.masked.schedule import schedule_of
from trued.generation.masked.state import SampleResult
from trued.learn.categorical import DRAWS, Draw

Sampler = Literal["first-hitting", "ancestral", "confidence", "in-order"]


@dataclass(frozen=True)
class MaskedSampler:
    """How sequences are drawn from a masked model.

    Args:
        sampler: first-hitting is exact, one token a call unless `steps` says fewer, and fills a causal model from left
            to right; ancestral takes `steps` small steps in time; confidence unmasks what the network is surest of;
            in-order unmasks from left to right, one token a call.
        steps: network calls of first-hitting (none: as many as tokens) and confidence (none: 16); steps of ancestral
            (none: 1,024).
        order: 2 gives hits that share a call logits of their own; first-hitting with `steps` only.
        variant: of order 2: extrapolate from the last two calls, or correct with one more.
        cut: parts of equally many hits, or of equal time.
        schedule: linear, cosine, geometric or polynomial.
        draw: how a token is drawn; gumbel32 is the inexact way, kept to be measured.
        temperature: of the tokens; other than 1 changes the law.
        top_p: nucleus; below 1 changes the law.
    """

    sampler: Sampler = "first-hitting"
    steps: int | None = None
    order: Literal[1, 2] = 1
    variant: Variant = "extrapolate"
    cut: Cut = "count"
    schedule: str = "linear"
    draw: Draw = "inverse_cdf64"
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        choices = {"sampler": get_args(Sampler), "draw": DRAWS, "variant": get_args(Variant), "cut": get_args(Cut)}
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"{name} is {value!r}: choose one of {', '.join(known)}{nearest(str(value), known)}")
        if self.steps is not None and (self.steps < 1 or self.steps != int(self.steps)):
            raise InputError(f"steps is {self.steps}: give a whole number from 1, or none")
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}: it must be a finite number above 0")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}: it must lie in (0, 1]")
        if self.order not in (1, 2):
            raise InputError(f"order is {self.order}: choose 1 or 2")
        if self.order == 2 and (self.sampler != "first-hitting" or self.steps is None):
            raise InputError("order 2 is for several tokens a call: use first-hitting, and give steps")
        schedule_of(self.schedule)

    def sample(
        self, model: MaskedModel, start: Int[Tensor, "batch length"], *, generator: torch.Generator
    ) -> SampleResult:
        """Fill the masked positions of `start`; see the samplers for what is raised."""
        drawing = {"draw": self.draw, "temperature": self.temperature, "top_p": self.top_p, "generator": generator}
        schedule = schedule_of(self.schedule)
        if self.sampler == "ancestral":
            return ancestral(model, start, self.steps or 1024, schedule=schedule, **drawing)
        if self.sampler == "confidence":
            return confidence(model, start, self.steps or 16, **drawing)
        if self.sampler == "in-order":
            return first_hitting(model, start, hits=Hits.in_order(start == model.mask_id), **drawing)
        if self.steps is None:
            return first_hitting(model, start, schedule=schedule, **drawing)
        return parallel_first_hitting(
            model, start, self.steps, cut=self.cut, order=self.order, variant=self.variant, schedule=schedule, **drawing
        )
