"""What every sampler of masked models starts from, asks of the model, and gives back.

Knows ids and logits. Knows nothing of the order in which a sampler unmasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.model import MaskedModel
from trued.learn.categorical import DRAWS, Draw, nucleus, sample_categorical

EXACT = "exact"
UNSEEN = "the model reads from left to right and does not see what was given behind a gap"


@dataclass(frozen=True)
class SampleResult:
    """Sequences and what they cost.

    Attributes:
        ids: no position is MASK; given tokens are as they were.
        calls: how often the network was called, whatever the number of rows in a call.
        evaluations: how often it saw each row.
        draws: categorical draws.
        hit_times: when each position was unmasked, from 1 down to 0; NaN where it was given, or where the sampler has
            no clock.
        law: "exact" where the ids have the model's own law given what was given, or what is different about them.
    """

    ids: Int[Tensor, "batch length"]
    calls: int
    evaluations: Int[Tensor, " batch"]
    draws: int
    hit_times: Float[Tensor, "batch length"]
    law: str = "exact"


def all_masked(model: MaskedModel, batch: int, length: int) -> Int[Tensor, "batch length"]:
    """Sequences of nothing but MASK.

    Raises:
        InputError: no sequence, or no position.
    """
    if batch < 1 or length < 1:
        raise InputError(f"batch {batch} and length {length}: both are at least 1")
    return torch.full((batch, length), model.mask_id)


def refuse_causal(model: MaskedModel, sampler: str) -> None:
    """Raise InputError if the model can be filled from left to right only, which this sampler does not do."""
    if model.causal:
        raise InputError(
            f"this model reads from left to right, and {sampler} sampling fills in another order: use first-hitting"
        )


class Filling:
    """Sequences on their way from MASK to tokens, with an account of what was asked and drawn.

    Args:
        model: the masked model.
        start: ids; whatever is not MASK is given and stays.
        draw, temperature, top_p: how a token is drawn from logits. A temperature cools tokens and never the choice of
            when a token is unmasked; `top_p` below 1 changes the law, and the result says so.
        generator: of the draws.

    Raises:
        InputError: `mask_id` is no id of the model, ids are outside its vocabulary, or a setting does not fit.
    """

    def __init__(
        self,
        model: MaskedModel,
        start: Int[Tensor, "batch length"],
        *,
        draw: Draw = "inverse_cdf64",
        temperature: float = 1.0,
        top_p: float = 1.0,
        generator: torch.Generator,
    ) -> None:
        if not 0 <= model.mask_id < model.vocab:
            raise InputError(f"mask_id is {model.mask_id}: this model's ids run from 0 to {model.vocab - 1}")
        if start.ndim != 2 or start.dtype.is_floating_point:
            raise InputError(
                f"start has shape {tuple(start.shape)} and type {start.dtype}: expected ids [batch, length]"
            )
        if start.numel() and not 0 <= int(start.min()) <= int(start.max()) < model.vocab:
            raise InputError(f"start holds ids up to {int(start.max())}: this model's run from 0 to {model.vocab - 1}")
        if draw not in DRAWS:
            raise InputError(f"draw is {draw!r}: choose one of {', '.join(DRAWS)}")
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}: it must be above 0")
        if not 0 < top_p <= 1:
            raise InputError(f"top_p is {top_p}: it must lie in (0, 1]")
        self.model, self.ids, self.generator = model, start.clone(), generator
        self.draw: Draw = draw
        self.temperature, self.top_p = temperature, top_p
        self.causal = model.causal
        self.calls = self.draws = 0
        masked = self.masked
        self.most_masked = int(masked.sum(1).max()) if masked.numel() else 0
        self._gap_before_given = bool(((masked.cumsum(1) > 0) & ~masked).any()) if masked.numel() else False
        self.evaluations = torch.zeros(len(start), dtype=torch.long)
        self.hit_times = torch.full(start.shape, torch.nan, dtype=torch.float64)

    @property
    def masked(self) -> Bool[Tensor, "batch length"]:
        return self.ids == self.model.mask_id

    @torch.no_grad()
    def log_probs(
        self,
        rows: Int[Tensor, " rows"],
        where: Bool[Tensor, "rows length"],
        time: Float[Tensor, " rows"],
        ids: Int[Tensor, "rows length"] | None = None,
    ) -> Float[Tensor, "chosen vocab"]:
        """Ask the network about some rows: normalised log-probabilities at `where`, cooled, MASK ruled out.

        Args:
            rows: which sequences.
            where: their positions of interest.
            time: of each row, for a model that wants to know.
            ids: what to show instead of the rows as they are.
        """
        self.calls += 1
        self.evaluations[rows] += 1
        inputs = self.ids[rows] if ids is None else ids
        logits = self.model(inputs, where, time if self.model.timed else None)
        logits = logits.to(torch.float64 if logits.dtype == torch.float64 else torch.float32).cpu().clone()
        if bool(logits.isnan().any()):
            raise InputError("the network gave NaN: look at its weights, or compute in float32")
        logits[:, self.model.mask_id] = -torch.inf
        if self.temperature != 1:
            logits /= self.temperature
        return nucleus(logits, self.top_p).log_softmax(-1)

    def draw_tokens(
        self, log_probs: Float[Tensor, "rows vocab"], uniforms: Tensor | None = None
    ) -> Int[Tensor, " rows"]:
        """Draw a token from each row of log-probabilities."""
        self.draws += len(log_probs)
        return sample_categorical(log_probs, draw=self.draw, generator=self.generator, uniforms=uniforms)

    def result(self, law: str = EXACT) -> SampleResult:
        """Return what was drawn, by a sampler that has this law where every draw is exact."""
        changes = [law] if law != EXACT else []
        changes += [UNSEEN] if self.causal and self._gap_before_given else []
        changes += [f"temperature {self.temperature:g}"] if self.temperature != 1 else []
        changes += [f"top-p {self.top_p:g}"] if self.top_p < 1 else []
        changes += ["32-bit Gumbel noise"] if self.draw == "gumbel32" else []
        law = "; ".join(changes) or EXACT
        return SampleResult(self.ids, self.calls, self.evaluations, self.draws, self.hit_times, law)
