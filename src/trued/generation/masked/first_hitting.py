"""First-hitting sampling of masked diffusion models (arXiv 2409.02908, Section 4): exact, and one token a call.

With n tokens masked at time tau_n, the next one is unmasked at the largest of n independent times,
    tau_{n-1} = alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))),  u uniform on (0, 1),  tau_L = 1;
which one it is is uniform, and its token has the law mu of the network at that moment. So a sequence of L tokens costs
L calls and L draws however fine the time, and a network without a clock needs no times at all: what is left is decoding
in random order.

Knows a masked model and a schedule. Knows nothing of text.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.schedule import LINEAR, MaskSchedule
from trued.generation.masked.state import Filling, SampleResult
from trued.learn.categorical import Draw


@dataclass(frozen=True)
class Hits:
    """The order in which masked positions are unmasked, and when: all of a sampler's noise but that of the tokens.

    Attributes:
        order: the positions of each row, first hit first; behind the last masked one it means nothing.
        times: when, falling.
        counts: how many positions of each row are masked.
    """

    order: Int[Tensor, "batch length"]
    times: Float[Tensor, "batch length"]
    counts: Int[Tensor, " batch"]

    @classmethod
    def draw(cls, masked: Bool[Tensor, "batch length"], schedule: MaskSchedule, generator: torch.Generator) -> Hits:
        """Draw them for sequences with these positions masked.

        log(1 - alpha) of the times is summed, so that nothing underflows where 1 - alpha is small.
        """
        batch, length = masked.shape
        places = torch.rand(batch, length, generator=generator, dtype=torch.float64).masked_fill(~masked, 2.0)
        counts = masked.sum(1)
        left = (counts[:, None] - torch.arange(length)).clamp_min(1)
        u = 1 - torch.rand(batch, length, generator=generator, dtype=torch.float64)
        return cls(places.argsort(-1), schedule.time((u.log() / left).cumsum(-1)), counts)

    def check(self, masked: Bool[Tensor, "batch length"], *, causal: bool) -> None:
        """Check that these are hits of sequences with these positions masked.

        Raises:
            InputError: of other sequences; or, for a model that reads from left to right, in another order.
        """
        if self.order.shape != masked.shape or not torch.equal(self.counts, masked.sum(1)):
            raise InputError(
                f"hits of {tuple(self.order.shape)} positions, {int(self.counts.sum())} of them masked, for sequences "
                f"of {tuple(masked.shape)} with {int(masked.sum())} masked: draw the hits for the same masks"
            )
        ahead = torch.arange(masked.shape[1]) < self.counts[:, None]
        if not torch.equal(torch.zeros_like(masked).scatter(1, self.order, ahead), masked):
            row = int((torch.zeros_like(masked).scatter(1, self.order, ahead) != masked).any(1).nonzero()[0])
            raise InputError(f"hits of row {row} are of tokens that are given: draw the hits for the same masks")
        if causal and bool(((self.order.diff(dim=1) < 0) & ahead[:, 1:]).any()):
            raise InputError("this model reads from left to right, and the hits do not: use Hits.in_order(masked)")

    @classmethod
    def for_filling(cls, filling: Filling, schedule: MaskSchedule, hits: Hits | None) -> Hits:
        """Return the hits that were given, checked, or else new ones: in order for a causal model, drawn for others.

        Raises:
            InputError: as `check`.
        """
        if hits is not None:
            hits.check(filling.masked, causal=filling.causal)
            return hits
        return cls.in_order(filling.masked) if filling.causal else cls.draw(filling.masked, schedule, filling.generator)

    @classmethod
    def in_order(cls, masked: Bool[Tensor, "batch length"]) -> Hits:
        """From left to right, at equal distances in time: how an autoregressive model writes."""
        counts = masked.sum(1)
        left = (counts[:, None] - torch.arange(masked.shape[1])).clamp_min(0).double()
        return cls(
            masked.int().argsort(dim=-1, descending=True, stable=True), left / counts.clamp_min(1)[:, None], counts
        )


def first_hitting(
    model: MaskedModel,
    start: Int[Tensor, "batch length"],
    *,
    schedule: MaskSchedule = LINEAR,
    draw: Draw = "inverse_cdf64",
    temperature: float = 1.0,
    top_p: float = 1.0,
    generator: torch.Generator,
    hits: Hits | None = None,
    uniforms: Float[Tensor, "batch length"] | None = None,
) -> SampleResult:
    """Unmask one token of every row in each call; rows with fewer masked positions finish earlier.

    The law is the model's own, given the tokens that are given. A causal model is filled from left to right, which is
    its own law too where nothing is given behind a gap.

    Args:
        model: the masked model; a timed one is told the time of each hit.
        start: ids; given tokens stay.
        schedule: of the masking; it decides the times, and with a network without a clock nothing else.
        draw: how a token is drawn.
        temperature, top_p: of the tokens.
        generator: of all noise that is not passed in.
        hits: order and times drawn beforehand for the same masks, so that runs can be paired.
        uniforms: one number a position for draws by inversion, for the same reason.

    Raises:
        InputError: settings that do not fit.
    """
    filling = Filling(model, start, draw=draw, temperature=temperature, top_p=top_p, generator=generator)
    if uniforms is not None and uniforms.shape != start.shape:
        raise InputError(f"uniforms of shape {tuple(uniforms.shape)}: give one a position, {tuple(start.shape)}")
    hits = Hits.for_filling(filling, schedule, hits)
    for k in range(int(hits.counts.max()) if len(hits.counts) else 0):
        rows = (hits.counts > k).nonzero()[:, 0]
        places, times = hits.order[rows, k], hits.times[rows, k]
        where = torch.zeros(len(rows), start.shape[1], dtype=torch.bool).scatter_(1, places[:, None], True)
        given = None if uniforms is None else uniforms[rows, places]
        filling.ids[rows, places] = filling.draw_tokens(filling.log_probs(rows, where, times), given)
        filling.hit_times[rows, places] = times
    return filling.result()
