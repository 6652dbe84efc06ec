"""Laws that are known, and what samplers make of them: the first half of the experiment on first-hitting sampling.

Knows the samplers and two laws, a Markov source and Zipf's. Knows nothing of the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trued.generation.masked.ancestral_steps import ancestral
from trued.generation.masked.exact_source import MarkovSource
from trued.generation.masked.first_hitting import first_hitting
from trued.generation.masked.model import FromLogits
from trued.generation.masked.parallel_hitting import parallel_first_hitting
from trued.generation.masked.state import SampleResult, all_masked
from trued.learn.categorical import Draw
from trued.learn.gumbel.truncated import effective_temperature, truncated_move_law

SYMBOLS, TOKENS = 4, 8  # of the source
FEW = 4  # calls for its tokens where several share one


# -- the source --------------------------------------------------------------------------------------------------------


def on_source(samples: int, steps: int, seed: int) -> dict[str, Any]:
    """Total variation from the exact law, and calls, of every sampler on the Markov source."""
    source = MarkovSource(TOKENS, SYMBOLS, seed=seed)
    start = all_masked(source, samples, TOKENS)
    generator = torch.Generator().manual_seed(seed)

    def tv(draw: Callable[[], SampleResult]) -> dict[str, float]:
        found = draw()
        evaluations = float(found.evaluations.double().mean())
        return {"tv": source.total_variation(found.ids), "calls": evaluations}

    def parallel(calls: int, **options: Any) -> dict[str, float]:
        return tv(lambda: parallel_first_hitting(source, start, calls, generator=generator, **options))

    return {
        "ancestral": tv(lambda: ancestral(source, start, steps, draw="two_stage", generator=generator)),
        "first-hitting": tv(lambda: first_hitting(source, start, generator=generator)),
        "order 1": {str(calls): parallel(calls) for calls in (1, 2, FEW, TOKENS)},
        "order 2": {str(calls): parallel(calls, order=2) for calls in (2, FEW, TOKENS)},
        "corrected": {str(calls): parallel(calls, order=2, variant="correct") for calls in (1, 2, FEW)},
        "by time": {str(calls): parallel(calls, cut="time") for calls in (1, 2, FEW, TOKENS)},
        "order 1 again": parallel(FEW),
    }


# -- the vocabulary ----------------------------------------------------------------------------------------------------


def zipf_law(classes: int) -> Tensor:
    """Zipf's law with exponent 1.2, near that of words."""
    weights = torch.arange(1, classes + 1, dtype=torch.float64) ** -1.2
    return weights / weights.sum()


def on_zipf(classes: int, tokens: int, grids: Sequence[int], seed: int) -> dict[str, Any]:
    """Surprisal under the true law of tokens drawn by ancestral sampling, by kind of noise and number of steps."""
    p = zipf_law(classes)
    logits = torch.cat([p.log(), torch.tensor([-torch.inf]).double()]).float()
    model = FromLogits(lambda ids: logits.expand(*ids.shape, -1), classes, classes + 1)
    start = all_masked(model, 1, tokens)

    def surprisal(draw: Draw, steps: int) -> list[float]:
        generator = torch.Generator().manual_seed(1000 * seed + steps)
        return (-p.log()[ancestral(model, start, steps, draw=draw, generator=generator).ids[0]]).tolist()

    return {
        "gumbel64": surprisal("gumbel64", grids[-1]),
        "log1p32": surprisal("log1p32", grids[-1]),
        "gumbel32": {str(steps): surprisal("gumbel32", steps) for steps in grids},
    }


def closed_form(classes: int, steps: list[int]) -> list[dict[str, float]]:
    """Surprisal, entropy and effective temperature of the tokens, and how many are unmasked before the last step."""
    p, rows = zipf_law(classes), []
    for count in (1, *steps):
        law, left = truncated_move_law(p, [1 / k for k in range(count, 0, -1)])
        law = law / law.sum()
        kept = law > 0
        rows.append(
            {
                "steps": count,
                "surprisal": float(-(law * p.log()).sum()),
                "entropy": float(-(law[kept] * law[kept].log()).sum()),
                "temperature": effective_temperature(law, p),
                "left for the last step": float((1 - left[:-1]).prod()),
            }
        )
    return rows
