"""Likelihood and diversity of generated sequences, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from trued.errors import InputError
from trued.generation.quality import (
    FrontierPoint,
    above_frontier,
    distinct,
    frontier,
    gen_quality,
    nll_at_entropy,
    reference_nll,
    token_entropy,
)

TEXTS = ["to be or not", "a much longer line that shares no batch padding with the first", "xy"]


def test_the_likelihood_is_the_models_own(tiny):
    result = reference_nll(TEXTS, tiny)
    for text, nll in zip(TEXTS, result.tolist(), strict=True):
        ids = torch.tensor([tiny.tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            expected = tiny.model(input_ids=ids, labels=ids).loss
        assert nll == pytest.approx(float(expected), abs=1e-4)


def test_entropy_and_distinct_grams_of_known_sequences():
    ids = torch.tensor([[1, 1, 1, 1], [1, 2, 3, 4], [1, 2, 1, 2]])
    assert token_entropy(ids).tolist() == pytest.approx([0.0, math.log(4), math.log(2)])
    assert distinct(ids, 1).tolist() == pytest.approx([0.25, 1.0, 0.5])
    assert distinct(ids, 2).tolist() == pytest.approx([1 / 3, 1.0, 2 / 3])
    with pytest.raises(InputError, match="n-grams of 1 to 4"):
        distinct(ids, 5)


def test_quality_puts_both_side_by_side(tiny):
    ids = torch.tensor([[1, 1], [1, 2]])
    result = gen_quality(ids, ["aa", "ab"], tiny, ngrams=(2,))
    assert result.perplexity == pytest.approx(math.exp(float(reference_nll(["aa", "ab"], tiny).mean())))
    assert result.entropy.tolist() == pytest.approx([0.0, math.log(2)])
    assert list(result.distinct) == [2]
    with pytest.raises(InputError, match="2 sequences and 1 texts"):
        gen_quality(ids, ["aa"], tiny)


def test_a_frontier_is_read_by_straight_lines(tiny):
    points = [FrontierPoint(1.0, 5.0, 4.0), FrontierPoint(0.5, 3.0, 2.0)]
    assert nll_at_entropy(points, 3.0) == pytest.approx(4.0)
    with pytest.raises(InputError, match=r"entropy 4\.500 is not on the frontier, which spans 2\.000 to 4\.000"):
        nll_at_entropy(points, 4.5)
    drawn: list[float] = []

    def draw(temperature):
        drawn.append(temperature)
        return torch.tensor([[1, 2] if temperature > 0.7 else [1, 1]]), ["ab" if temperature > 0.7 else "aa"]

    result = frontier(draw, [0.5, 1.0], tiny)
    assert drawn == [0.5, 1.0]
    assert [point.entropy for point in result] == pytest.approx([0.0, math.log(2)])


def test_texts_without_a_likelihood_are_named(tiny):
    with pytest.raises(InputError, match="text 2 has 1 tokens"):
        reference_nll(["ab", "a"], tiny)
    with pytest.raises(InputError, match="shorten the row"):
        reference_nll(["a" * 3000], tiny)


def test_texts_lie_above_the_parabola_through_those_of_several_temperatures():
    entropy = [1.0, 2.0, 3.0, 4.0]
    nll = [5.0, 3.0, 3.0, 5.0]  # (x - 2.5)² + 2.75
    drawn = [{"entropy": entropy[:2], "nll": nll[:2]}, {"entropy": entropy[2:], "nll": nll[2:]}]
    texts = {"entropy": [2.5, 4.0, 1.5], "nll": [2.75, 6.0, 1.75]}
    assert above_frontier(texts, iter(drawn)) == pytest.approx([0, 1, -2])
