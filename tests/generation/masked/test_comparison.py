"""Samplers beside each other: the costs they report, distances from a known law, and texts."""

from __future__ import annotations

import pytest
import torch

from trued.generation.masked.comparison import costs, distances, qualities, text_quality
from trued.generation.masked.exact_source import MarkovSource, context_free, zipf_law
from trued.generation.masked.first_hitting import Hits, first_hitting
from trued.generation.masked.model import FromLogits
from trued.generation.masked.sampler import MaskedSampler
from trued.generation.masked.state import all_masked
from trued.generation.quality import gen_quality

SOURCE = MarkovSource(4, 3, seed=2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Letters:
    """A tokenizer of one letter a token."""

    def decode(self, ids):
        return "".join(chr(97 + i) for i in ids)


def test_costs_are_of_every_turn_after_one_that_is_not_measured():
    samplers = {"whole": MaskedSampler(), "half": MaskedSampler(steps=2)}
    calls = []
    model = FromLogits(lambda ids: calls.append(1) or torch.zeros(*ids.shape, 4), 3, 4)
    measured = costs(model, all_masked(model, 1, 4), samplers, repeats=3, generator=seeded())
    assert measured["whole"]["calls"] == [4, 4, 4]
    assert measured["half"]["calls"] == [2, 2, 2]
    assert measured["whole"]["draws"] == measured["half"]["draws"] == [4, 4, 4]
    assert len(calls) == 4 + 3 * (4 + 2)
    assert all(second > 0 for row in measured.values() for second in row["seconds"])


def test_an_exact_sampler_is_near_the_law_and_one_call_for_all_tokens_is_not():
    samplers = {"exact": MaskedSampler(), "one call": MaskedSampler(steps=1), "in order": MaskedSampler("in-order")}
    measured = distances(SOURCE, samplers, samples=4000, generator=seeded())
    assert measured["exact"]["tv"] < 0.08
    assert measured["in order"]["tv"] < 0.08
    assert measured["one call"]["tv"] > 0.2
    assert [measured[name]["calls"] for name in samplers] == [4, 1, 4]


def test_in_order_sampling_asks_about_the_leftmost_token():
    asked = []

    def logits(ids):
        asked.append((ids == 3)[0].tolist())
        return torch.zeros(*ids.shape, 4)

    model, start = FromLogits(logits, 3, 4), torch.tensor([[3, 1, 3, 3]])
    result = MaskedSampler("in-order", temperature=0.7).sample(model, start, generator=seeded(1))
    assert asked == [[True, False, True, True], [False, False, True, True], [False, False, False, True]]
    again = first_hitting(model, start, temperature=0.7, generator=seeded(1), hits=Hits.in_order(start == 3))
    assert torch.equal(result.ids, again.ids)


def test_texts_come_with_their_quality_and_their_cost(tiny):
    samplers = {"cold": MaskedSampler(temperature=0.01), "warm": MaskedSampler(steps=2)}
    model = context_free(zipf_law(20))
    written = qualities(model, all_masked(model, 3, 6), samplers, Letters(), tiny, generator=seeded())
    assert written["cold"]["text"] == "aaaaaa"
    assert written["cold"]["entropy"] == [0, 0, 0]
    assert [written[name]["calls"] for name in samplers] == [6, 2]
    assert [written[name]["temperature"] for name in samplers] == [0.01, 1]
    assert max(written["warm"]["entropy"]) > 0


def test_in_order_samplers_write_with_the_causal_model(tiny):
    always = {token: FromLogits(lambda ids, token=token: _only(ids, token), 5, 6) for token in (1, 2)}
    samplers = {"any": MaskedSampler(), "in order": MaskedSampler("in-order")}
    start = all_masked(always[1], 1, 3)
    written = qualities(always[1], start, samplers, Letters(), tiny, causal=always[2], generator=seeded())
    assert {name: record["text"] for name, record in written.items()} == {"any": "bbb", "in order": "ccc"}


def _only(ids, token):
    logits = torch.full((*ids.shape, 6), -1e4)
    logits[..., token] = 0
    return logits


def test_a_texts_quality_is_that_of_its_words(tiny):
    ids = torch.tensor([[0, 1, 2, 0], [3, 3, 3, 3]])
    record, quality = text_quality(ids, Letters(), tiny), gen_quality(ids, ["abca", "dddd"], tiny, ngrams=(2,))
    assert record["nll"] == pytest.approx(quality.nll.tolist())
    assert record["distinct"] == pytest.approx([1, 1 / 3])
    assert record["text"] == "abca"


def test_zipfs_law_falls_as_a_power_and_its_model_ignores_what_stands_around():
    p = zipf_law(50)
    assert p.sum() == pytest.approx(1)
    assert p[0] / p[9] == pytest.approx(10**1.2)
    model = context_free(p)
    assert (model.vocab, model.mask_id) == (51, 50)
    where = torch.tensor([[True, False], [False, True]])
    logits = model(torch.tensor([[50, 3], [7, 50]]), where)
    assert logits.shape == (2, 51)
    torch.testing.assert_close(logits.softmax(-1)[:, :50], p.float().expand(2, -1))
    assert torch.equal(logits.softmax(-1)[:, 50], torch.zeros(2))
