"""How good generated text is: likelihood under another model, and diversity, which must be read together.

Generative perplexity, the likelihood under a reference model, is cheated by low entropy: text that repeats itself is
likely. So every likelihood here comes with the entropy of the same sequences, and two samplers are compared at equal
entropy, on the frontier that the temperature draws (arXiv 2409.02908, Section 5).

Knows token ids, texts and a language model that scores them. Knows nothing of how they were generated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.language.engine.generation import plan_batches
from trued.language.engine.model import LanguageModel


@dataclass(frozen=True)
class Quality:
    """Likelihood and diversity of generated sequences, one number each.

    Attributes:
        nll: mean negative log-likelihood under the reference model, nats a token of its own.
        entropy: of the tokens within each sequence, nats.
        distinct: n → share of the n-grams of each sequence that are different.
    """

    nll: Float[Tensor, " sequences"]
    entropy: Float[Tensor, " sequences"]
    distinct: dict[int, Float[Tensor, " sequences"]]

    @property
    def perplexity(self) -> float:
        """The generative perplexity: the exponential of the mean over sequences."""
        return math.exp(float(self.nll.mean()))


@dataclass(frozen=True)
class FrontierPoint:
    """What one temperature gives."""

    temperature: float
    nll: float
    entropy: float


def gen_quality(
    ids: Int[Tensor, "sequences length"],
    texts: Sequence[str],
    reference: LanguageModel,
    *,
    ngrams: Iterable[int] = (1, 2, 3),
) -> Quality:
    """Measure sequences by their ids (diversity) and their texts (likelihood).

    Raises:
        InputError: not one text a sequence, or what `reference_nll` refuses.
    """
    if len(ids) != len(texts):
        raise InputError(f"{len(ids)} sequences and {len(texts)} texts: one text a sequence")
    return Quality(reference_nll(texts, reference), token_entropy(ids), {n: distinct(ids, n) for n in ngrams})


@torch.no_grad()
def reference_nll(
    texts: Sequence[str], reference: LanguageModel, *, batch_tokens: int = 8192
) -> Float[Tensor, " texts"]:
    """Mean negative log-likelihood of each text as plain text, in nats a token of the reference; no chat template.

    A text's first token is context only, since models differ in what they put before it.

    Raises:
        InputError: a text of fewer than two tokens, or longer than the reference's context.
    """
    ids = [reference.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    for number, row in enumerate(ids, start=1):
        if len(row) < 2:
            raise InputError(f"text {number} has {len(row)} tokens of {reference.name}: a likelihood needs at least 2")
    scores = torch.zeros(len(ids))
    for batch in plan_batches([len(row) for row in ids], new_tokens=0, copies=1, budget=batch_tokens):
        rows = reference.rows([ids[i][:1] for i in batch], [[ids[i][1:]] for i in batch])
        pieces = reference.response_logprobs(rows).cpu().split(rows.lengths.tolist())
        for index, piece in zip(batch, pieces, strict=True):
            scores[index] = -piece.mean()
    return scores


def token_entropy(ids: Int[Tensor, "sequences length"]) -> Float[Tensor, " sequences"]:
    """-sum_v (c_v / L) log(c_v / L) of each sequence, in nats; at most log L."""
    entropies = []
    for row in ids:
        share = row.unique(return_counts=True)[1].double() / len(row)
        entropies.append(-(share * share.log()).sum())
    return torch.stack(entropies).float() if entropies else torch.zeros(0)


def distinct(ids: Int[Tensor, "sequences length"], n: int) -> Float[Tensor, " sequences"]:
    """The share of different ones among the n-grams of each sequence.

    Raises:
        InputError: n outside 1..L.
    """
    length = ids.shape[1]
    if not 1 <= n <= length:
        raise InputError(f"n is {n}: sequences of {length} tokens have n-grams of 1 to {length}")
    grams = ids.unfold(1, n, 1)
    return torch.tensor([len(row.unique(dim=0)) / len(row) for row in grams])


def frontier(
    draw: Callable[[float], tuple[Tensor, Sequence[str]]], temperatures: Sequence[float], reference: LanguageModel
) -> list[FrontierPoint]:
    """Measure likelihood and entropy at each temperature.

    Args:
        draw: temperature to ids and their texts.
    """
    points = []
    for temperature in temperatures:
        quality = gen_quality(*draw(temperature), reference, ngrams=())
        points.append(FrontierPoint(temperature, float(quality.nll.mean()), float(quality.entropy.mean())))
    return points


def nll_at_entropy(points: Sequence[FrontierPoint], entropy: float) -> float:
    """Read the likelihood at an entropy off a frontier, by straight lines between its points.

    Raises:
        InputError: fewer than two points, or an entropy outside theirs.
    """
    ordered = sorted(points, key=lambda point: point.entropy)
    if len(ordered) < 2 or not ordered[0].entropy <= entropy <= ordered[-1].entropy:
        ends = f"{ordered[0].entropy:.3f} to {ordered[-1].entropy:.3f}" if ordered else "nothing"
        raise InputError(f"entropy {entropy:.3f} is not on the frontier, which spans {ends}: draw at more temperatures")
    return float(np.interp(entropy, [p.entropy for p in ordered], [p.nll for p in ordered]))
