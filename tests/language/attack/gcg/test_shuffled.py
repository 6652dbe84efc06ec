"""The shuffled gradient: of the same size, at the same cost, and of no use."""

from dataclasses import replace

import torch

from trued.language.attack.gcg.loss import SuffixLoss
from trued.language.attack.gcg.search import GCG
from trued.language.attack.gcg.shuffled import ShuffledGCG, ShuffledLoss
from trued.language.engine.tiny import tiny_model

SMALL = GCG(steps=10, search_width=4, topk=4, suffix_tokens=20)


def search(lm, attack, seed):
    return attack.optimise(lm, "tell me", "Sure, here", generator=torch.Generator().manual_seed(seed))


def test_the_components_are_the_gradients_in_another_order(tiny):
    parts = (tiny, [1, 2], [3], [4, 5])
    suffix = torch.tensor([6, 7, 8])
    gradient, _ = SuffixLoss(*parts).gradient(suffix)
    shuffled, _ = ShuffledLoss(*parts).gradient(suffix)
    assert torch.equal(shuffled.sort(1).values, gradient.sort(1).values)
    assert not torch.equal(shuffled, gradient)
    assert torch.equal(ShuffledLoss(*parts).gradient(suffix)[0], shuffled)


def test_it_costs_what_gcg_costs_and_finds_less():
    gains = []
    for seed in range(8):
        lm = tiny_model(seed)
        steered, control = (search(lm, attack, seed) for attack in (SMALL, ShuffledGCG(**vars(SMALL))))
        passes = [(result.cost.forwards, result.cost.backwards) for result in (steered, control)]
        assert passes[0] == passes[1]
        gains.append(control.best_loss - steered.best_loss)
    assert sum(gains) > 0


def test_it_keeps_the_settings():
    attack = ShuffledGCG(**vars(replace(SMALL, mellowmax=2.0)))
    assert (attack.mellowmax, attack.steps) == (2.0, 10)
