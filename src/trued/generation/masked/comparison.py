"""Samplers beside each other: what they cost, how far from a known law they draw, and how good their texts are.

Knows samplers by their settings. Knows nothing of why they are compared.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from trued.generation.masked.exact_source import MarkovSource
from trued.generation.masked.model import MaskedModel
from trued.generation.masked.sampler import MaskedSampler
from trued.generation.masked.state import all_masked
from trued.generation.quality import gen_quality
from trued.language.engine.model import LanguageModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Costs = dict[str, dict[str, list[float]]]


def costs(
    model: MaskedModel, start: Int[Tensor, "batch length"], samplers: Mapping[str, MaskedSampler], *, repeats: int,
    generator: torch.Generator,
) -> Costs:  # fmt: skip
    """Return name → "seconds", "calls" and "draws" of each of `repeats` runs.

    Samplers take turns, so that what slows the machine for a while slows all of them. One run before them is not
    measured, since the first is slower.

    Args:
        model: what is sampled from.
        start: ids, some of them MASK.
        samplers: name → settings.
        repeats: runs of each.
        generator: of the draws.
    """
    MaskedSampler().sample(model, start, generator=generator)
    measured: Costs = {name: {"seconds": [], "calls": [], "draws": []} for name in samplers}
    for _ in range(repeats):
        for name, sampler in samplers.items():
            began = time.perf_counter()
            result = sampler.sample(model, start, generator=generator)
            measured[name]["seconds"].append(time.perf_counter() - began)
            measured[name]["calls"].append(result.calls)
            measured[name]["draws"].append(result.draws)
    return measured


def distances(
    source: MarkovSource, samplers: Mapping[str, MaskedSampler], *, samples: int, generator: torch.Generator
) -> dict[str, dict[str, float]]:
    """Return name → "tv", the total variation of the sampler's draws from the source's law, and "calls" a sequence.

    Args:
        source: whose law is known.
        samplers: name → settings.
        samples: sequences of each; they keep the total variation of an exact sampler above 0.
        generator: of the draws.
    """
    start, measured = all_masked(source, samples, source.length), {}
    for name, sampler in samplers.items():
        result = sampler.sample(source, start, generator=generator)
        calls = float(result.evaluations.double().mean())
        measured[name] = {"tv": source.total_variation(result.ids), "calls": calls}
    return measured


def qualities(
    model: MaskedModel, start: Int[Tensor, "batch length"], samplers: Mapping[str, MaskedSampler],
    tokenizer: Tokenizer, reference: LanguageModel, *, causal: MaskedModel | None = None, generator: torch.Generator,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Return name → `text_quality` of what each sampler writes, with its "calls" and "temperature".

    Args:
        model: what is sampled from.
        start: ids, some of them MASK.
        samplers: name → settings.
        tokenizer: of the model.
        reference: scores the texts.
        causal: what in-order samplers draw from, if not the model.
        generator: of the draws.
    """
    records = {}
    for name, sampler in samplers.items():
        writer = causal if causal is not None and sampler.sampler == "in-order" else model
        result = sampler.sample(writer, start, generator=generator)
        cost = {"calls": result.calls, "temperature": sampler.temperature}
        records[name] = text_quality(result.ids, tokenizer, reference) | cost
    return records


def text_quality(
    ids: Int[Tensor, "sequences length"], tokenizer: Tokenizer, reference: LanguageModel
) -> dict[str, Any]:
    """Return how good sequences are.

    Returns:
        Per sequence "nll" under the reference, nats a token of its own, "entropy" in nats and share of "distinct"
        bigrams; and the first sequence as "text".
    """
    texts = [tokenizer.decode(row.tolist()) for row in ids]
    quality = gen_quality(ids, texts, reference, ngrams=(2,))
    return {
        "nll": quality.nll.tolist(),
        "entropy": quality.entropy.tolist(),
        "distinct": quality.distinct[2].tolist(),
        "text": texts[0],
    }
