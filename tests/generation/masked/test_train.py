"""What is known of unseen windows: by a masked model, by a causal one, by frequency alone, and while training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trued.generation.masked.loss import causal_nll, masked_nelbo, mdm_nelbo
from trued.generation.masked.model import MaskedConfig, TinyMaskedLM
from trued.generation.masked.schedule import LINEAR, Cosine
from trued.generation.masked.train import bound_per_token, nats_by_frequency, nats_per_token, train_watched
from trued.learn.fit.loop import FitConfig

CONFIG = MaskedConfig(7, 5, 8, 1, 2)
IDS = torch.randint(6, (3, 5), generator=torch.Generator().manual_seed(0))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_masked_models_bound_is_over_counts_with_masks_by_the_seed():
    model = TinyMaskedLM(CONFIG, seed=1).eval()
    nats = nats_per_token(model, IDS, repeats=4, seed=3)
    generator = seeded(3)
    expected = bound_per_token(lambda rows: masked_nelbo(model, rows, generator=generator), IDS, repeats=4)
    assert torch.equal(nats, expected)
    assert not torch.equal(nats, nats_per_token(model, IDS, repeats=4, seed=4))


@pytest.mark.parametrize("weight", [None, LINEAR])
def test_over_times_it_is_of_the_schedule(weight):
    model = TinyMaskedLM(CONFIG, seed=1).eval()
    nats = nats_per_token(model, IDS, repeats=4, seed=3, schedule=Cosine(), weight=weight)
    generator, options = seeded(3), {"schedule": Cosine(), "weight": weight}
    expected = bound_per_token(lambda rows: mdm_nelbo(model, rows, generator=generator, **options), IDS, repeats=4)
    assert torch.equal(nats, expected)


def test_a_causal_model_knows_its_own_likelihood():
    model = TinyMaskedLM(replace(CONFIG, causal=True), seed=1).eval()
    with torch.no_grad():
        assert torch.equal(nats_per_token(model, IDS, repeats=9), causal_nll(model, IDS) / 5)


def test_frequencies_count_every_token_once_more_than_it_was_seen():
    train, unseen = torch.tensor([[0, 0, 1], [0, 0, 2]]), torch.tensor([[0, 1], [3, 3]])
    nats = nats_by_frequency(train, unseen, 4)  # counts 4, 1, 1, 0 and one each: 5, 2, 2, 1 of 10
    assert nats.tolist() == pytest.approx([-(math.log(0.5) + math.log(0.2)) / 2, -math.log(0.1)])


def test_a_watched_training_keeps_the_weights_and_what_they_knew_on_the_way():
    fit = FitConfig(steps=4, batch_size=3, lr=1e-2, seed=2, keep_best=False, validate_every=2)
    kept = train_watched(IDS, IDS[:2], CONFIG, fit, repeats=4)
    model = TinyMaskedLM.restored(CONFIG, kept["state"])
    assert not model.training
    assert len(kept["losses"]) == 4
    half, whole = kept["unseen"]
    assert half != whole
    assert whole == nats_per_token(model, IDS[:2], repeats=4, seed=2).tolist()


def test_a_models_size_is_the_number_of_its_weights():
    model = TinyMaskedLM(CONFIG)
    assert model.size == sum(weight.numel() for weight in model.state_dict().values())
