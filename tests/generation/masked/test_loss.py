"""Both bounds, against the exact any-order likelihood of a source whose conditionals are known."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from trued.errors import InputError
from trued.generation.masked.exact_source import MarkovSource
from trued.generation.masked.first_hitting import Hits, first_hitting
from trued.generation.masked.loss import causal_nll, masked_nelbo, mdm_nelbo
from trued.generation.masked.model import FromLogits, MaskedConfig, TinyMaskedLM
from trued.generation.masked.schedule import LINEAR, SCHEDULES, Cosine
from trued.generation.masked.train import bound_per_token, train_masked_lm
from trued.learn.fit.loop import FitConfig

SOURCE = MarkovSource(4, 3, seed=2)
WHOLE = torch.tensor([[0, 1, 2, 0]])


@torch.no_grad()
def any_order(model, ids):
    """The mean over all orders of the log-likelihood of decoding one token after the other."""
    total, length = 0.0, ids.shape[1]
    for order in itertools.permutations(range(length)):
        inputs = torch.full_like(ids, model.mask_id)
        for place in order:
            where = torch.zeros_like(ids, dtype=torch.bool)
            where[0, place] = True
            logits = model(inputs, where)[0, : model.mask_id]
            total -= float(logits.log_softmax(-1)[ids[0, place]])
            inputs[0, place] = ids[0, place]
    return total / math.factorial(length)


def tiny():
    model = TinyMaskedLM(MaskedConfig(4, 4, 8, 1, 2), seed=1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double())
    return model.eval()


@pytest.mark.parametrize("model", [SOURCE, tiny()], ids=["source", "network"])
def test_the_bound_over_counts_is_the_any_order_likelihood(model):
    """With every number of masked tokens exactly once, and many masks, the mean over copies is the sum over n."""
    copies = 8000
    n = torch.arange(copies) % 4 + 1
    with torch.no_grad():
        result = masked_nelbo(model, WHOLE.expand(copies, -1), n=n, generator=torch.Generator().manual_seed(0))
    error = 5 * float(result.std()) / math.sqrt(copies)
    assert float(result.mean()) == pytest.approx(any_order(model, WHOLE), abs=error)
    if model is SOURCE:  # exact conditionals make the bound tight
        assert any_order(model, WHOLE) == pytest.approx(-float(SOURCE.law()[SOURCE.number(WHOLE)].log()))


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda s: s.name)
def test_the_bound_over_times_is_the_same_whatever_the_schedule(schedule):
    ids = WHOLE.expand(30_000, -1)
    result = mdm_nelbo(SOURCE, ids, schedule=schedule, generator=torch.Generator().manual_seed(1))
    truth = -float(SOURCE.law()[SOURCE.number(WHOLE)].log())
    assert float(result.mean()) == pytest.approx(truth, abs=5 * float(result.std()) / math.sqrt(len(ids)))


def test_a_wrong_weight_is_no_bound():
    ids = WHOLE.expand(30_000, -1)
    wrong = mdm_nelbo(SOURCE, ids, schedule=Cosine(), weight=LINEAR, generator=torch.Generator().manual_seed(1))
    truth = -float(SOURCE.law()[SOURCE.number(WHOLE)].log())
    assert abs(float(wrong.mean()) - truth) > 0.2 * truth


def test_mask_is_never_predicted_wherever_its_id_stands():
    """A network that puts everything on MASK is judged by what is left of its other logits."""
    last = FromLogits(lambda ids: torch.tensor([0.0, 0, 0, 50]).expand(*ids.shape, 4), 3, 4)
    first = FromLogits(lambda ids: torch.tensor([50.0, 0, 0, 0]).expand(*ids.shape, 4), 0, 4)
    n = torch.tensor([2])
    assert float(masked_nelbo(last, WHOLE, n=n)) == pytest.approx(4 * math.log(3), rel=1e-5)
    assert float(masked_nelbo(first, WHOLE + 1, n=n)) == pytest.approx(4 * math.log(3), rel=1e-5)


@torch.no_grad()
def test_a_causal_models_likelihoods_are_a_law_and_reading_in_order_draws_from_it():
    model = TinyMaskedLM(MaskedConfig(4, 4, 8, 1, 2, causal=True), seed=1).double()
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double())
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    law = (-causal_nll(model, every).double()).exp()
    assert float(law.sum()) == pytest.approx(1.0, abs=1e-5)
    start = torch.full((8000, 4), 3)
    hits = Hits.in_order(start == 3)
    ids = first_hitting(model, start, hits=hits, generator=torch.Generator().manual_seed(0)).ids
    counts = torch.bincount((ids * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81)
    assert stats.chisquare(counts.numpy(), law.numpy() / float(law.sum()) * 8000).pvalue > 0.001
    with pytest.raises(InputError, match="hold MASK"):
        causal_nll(model, start)


def test_a_timed_model_is_told_times_that_fit_the_masks():
    times: list[torch.Tensor] = []

    def logits(ids, time):
        times.append(time)
        return torch.zeros(*ids.shape, 4)

    model = FromLogits(logits, 3, 4, timed=True)
    masked_nelbo(model, WHOLE.expand(4, -1), n=torch.tensor([1, 2, 3, 4]))
    assert times[0].tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])
    mdm_nelbo(model, WHOLE, t=torch.tensor([0.3], dtype=torch.float64))
    assert times[1].tolist() == pytest.approx([0.3])


def test_what_is_no_sequence_or_no_time():
    with pytest.raises(InputError, match="hold MASK"):
        masked_nelbo(SOURCE, torch.tensor([[0, 3, 1, 1]]))
    with pytest.raises(InputError, match="between 1 and 4"):
        masked_nelbo(SOURCE, WHOLE, n=torch.tensor([5]))
    with pytest.raises(InputError, match=r"lie in \(0, 1\]"):
        mdm_nelbo(SOURCE, WHOLE, t=torch.tensor([0.0]))


def test_training_brings_the_bound_near_the_entropy_of_the_source():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(SOURCE.law(), 2000, replacement=True, generator=generator)
    rows = torch.stack([drawn // 27, drawn // 9 % 3, drawn // 3 % 3, drawn % 3], 1)
    config = MaskedConfig(4, 4, 16, 1, 2)
    recipe = FitConfig(steps=60, lr=1e-2, batch_size=64, seed=3, keep_best=False)
    model, result = train_masked_lm(rows, config, recipe)
    law = SOURCE.law()
    entropy = -float((law * law.log()).sum()) / 4

    def bound(m):
        estimate = bound_per_token(
            lambda ids: masked_nelbo(m, ids, generator=torch.Generator().manual_seed(1)), rows[:100], repeats=32
        )
        return float(estimate.mean())

    assert result.steps == 60
    untrained = bound(TinyMaskedLM(config, seed=3).eval())
    assert bound(model) < untrained - 0.5 * (untrained - entropy)
    short = replace(recipe, steps=2)
    first, second = (train_masked_lm(rows, config, short)[0] for _ in range(2))
    assert torch.equal(first.tokens.weight, second.tokens.weight)
    with pytest.raises(InputError, match="ids below MASK"):
        train_masked_lm(rows + 1, config, recipe)
