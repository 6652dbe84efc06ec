"""Laws that are known, and what samplers make of them: the first half of the experiment on first-hitting sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trued.generation.masked.comparison import distances
from trued.generation.masked.exact_source import MarkovSource, context_free, zipf_law
from trued.generation.masked.sampler import MaskedSampler
from trued.generation.masked.state import all_masked
from trued.learn.categorical import Draw
from trued.learn.gumbel.many_steps import after_steps

SYMBOLS, TOKENS = 4, 8  # of the source
FEW = 4  # calls for its tokens where several share one
KINDS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "order 1": ((1, 2, FEW, TOKENS), {}),
    "order 2": ((2, FEW, TOKENS), {"order": 2}),
    "corrected": ((1, 2, FEW), {"order": 2, "variant": "correct"}),
    "by time": ((1, 2, FEW, TOKENS), {"cut": "time"}),
}
"""Ways to share calls among tokens: numbers of calls, and the sampler's options."""


def on_source(samples: int, steps: int, seed: int) -> dict[str, dict[str, float]]:
    """Return total variation from the exact law, and calls, of every sampler on the Markov source."""
    samplers = {"ancestral": MaskedSampler("ancestral", steps, draw="two_stage"), "first-hitting": MaskedSampler()}
    for kind, (numbers, options) in KINDS.items():
        samplers |= {f"{kind}, {calls}": MaskedSampler(steps=calls, **options) for calls in numbers}
    samplers["order 1 again"] = MaskedSampler(steps=FEW)
    generator = torch.Generator().manual_seed(seed)
    return distances(MarkovSource(TOKENS, SYMBOLS, seed=seed), samplers, samples=samples, generator=generator)


def on_zipf(classes: int, tokens: int, grids: Sequence[int], seed: int) -> dict[str, dict[str, list[float]]]:
    """Return the surprisal of tokens drawn by ancestral sampling, by kind of noise and number of steps."""
    p = zipf_law(classes)
    model = context_free(p)

    def surprisal(draw: Draw, steps: int) -> list[float]:
        generator = torch.Generator().manual_seed(1000 * seed + steps)
        sampler = MaskedSampler("ancestral", steps, draw=draw)
        return (-p.log()[sampler.sample(model, all_masked(model, 1, tokens), generator=generator).ids[0]]).tolist()

    noises: dict[Draw, Sequence[int]] = {"gumbel64": grids[-1:], "log1p32": grids[-1:], "gumbel32": grids}
    return {draw: {str(steps): surprisal(draw, steps) for steps in numbers} for draw, numbers in noises.items()}


def closed_form(classes: int, grids: list[int]) -> list[dict[str, Any]]:
    """Return what 32-bit noise leaves of the law for each number of steps, a plain draw first."""
    p = zipf_law(classes)
    return [
        {"steps": steps, "cut": after_steps(p, steps), "rounded": after_steps(p, steps, rounded=True)}
        for steps in (1, *grids)
    ]
