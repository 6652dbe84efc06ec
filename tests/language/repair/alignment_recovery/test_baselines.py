"""What recovery has to beat does what its formula says, on as many weights."""

import copy

import pytest
import torch

from trued.data.prompts import safe_replies
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.repair.alignment_recovery.baselines import (
    GUARD,
    guarded,
    refusal_rows,
    resta,
    restore_equally,
    restore_layers,
    strongest,
    strongest_resta,
)
from trued.language.repair.alignment_recovery.config import PAPER
from trued.language.repair.alignment_recovery.representation import repairable
from trued.learn.weights import weights_of


@pytest.fixture
def pair():
    aligned = tiny_model(layers=3)
    model = copy.deepcopy(aligned.base)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return aligned, LanguageModel(model, aligned.tokenizer)


def changed(lm, before):
    return {n: (p != before[n]) for n, p in weights_of(lm.base).items() if not torch.equal(p, before[n])}


@pytest.mark.parametrize("rule", ["random", "change"])
def test_as_many_weights_of_the_same_layers_go_back(pair, rule):
    aligned, lm = pair
    before, goal = weights_of(copy.deepcopy(lm.base)), weights_of(aligned.base)
    patch = restore_equally(lm, goal, 500, rule=rule)
    assert patch.count == 500
    result = changed(lm, before)
    assert sum(int(mask.sum()) for mask in result.values()) == 500
    allowed = repairable(lm, PAPER.depth(lm))
    assert set(result) <= set(allowed)
    now = weights_of(lm.base)
    assert all(torch.equal(now[n][mask], goal[n][mask]) for n, mask in result.items())
    if rule == "change":
        sizes = torch.cat([(before[n] - goal[n]).abs().flatten() for n in allowed])
        least = min(float((before[n] - goal[n]).abs()[mask].min()) for n, mask in result.items())
        assert least == float(sizes.sort(descending=True).values[499])
    patch.revert(lm.base)
    assert not changed(lm, before)
    with pytest.raises(InputError, match="by 'random' or by 'change'"):
        restore_equally(lm, goal, 5, rule="sign")


def test_whole_layers_go_back_norms_too(pair):
    aligned, lm = pair
    before, goal = weights_of(copy.deepcopy(lm.base)), weights_of(aligned.base)
    patch = restore_layers(lm, goal, [0, 2])
    now = weights_of(lm.base)
    for name in now:
        back = "layers.0." in name or "layers.2." in name
        assert torch.equal(now[name], goal[name] if back else before[name])
    patch.revert(lm.base)
    assert not changed(lm, before)
    with pytest.raises(InputError, match="layers 0 to 2"):
        restore_layers(lm, goal, [3])
    with pytest.raises(InputError, match="one is needed"):
        restore_layers(lm, goal, [])


def test_resta_adds_the_safety_vector(pair):
    aligned, lm = pair
    unaligned = tiny_model(7, layers=3)
    before, up, down = weights_of(copy.deepcopy(lm.base)), weights_of(aligned.base), weights_of(unaligned.base)
    resta(lm, up, down, weight=0.5)
    for name, parameter in weights_of(lm.base).items():
        torch.testing.assert_close(parameter, before[name] + 0.5 * (up[name] - down[name]))
    dropped = copy.deepcopy(lm)
    resta(dropped, up, down, weight=0.5, drop=0.9)
    name = "model.layers.0.mlp.up_proj.weight"
    moved = weights_of(dropped.base)[name] - weights_of(lm.base)[name]
    assert float((moved == 0).float().mean()) == pytest.approx(0.9, abs=0.03)
    with pytest.raises(InputError, match="weight is 0"):
        resta(lm, up, down, weight=0)


def test_the_strongest_weight_that_keeps_the_score_is_left_in():
    state = {"weight": 0.0, "undone": 0}

    def attempt(weight):
        state["weight"] += weight

    def undo():
        state["weight"], state["undone"] = 0.0, state["undone"] + 1

    assert strongest([0.25, 1.0, 0.5], attempt, undo, lambda: 1 - state["weight"], 0.5) == 0.5
    assert state == {"weight": 0.5, "undone": 1}
    undo()
    assert strongest([1.0, 0.5], attempt, undo, lambda: 0.0, 0.5) is None
    assert state["weight"] == 0.0


def test_refusals_take_turns_and_the_guard_comes_first():
    rows = refusal_rows(["a", "b", "c"], refusals=2)
    assert [row.reply for row in rows] == [safe_replies()[i] for i in (0, 1, 0)]
    assert guarded("a") == [{"role": "system", "content": GUARD}, {"role": "user", "content": "a"}]
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}]
    assert [m["role"] for m in guarded(chat)] == ["system", "user"]
    assert guarded(chat)[0]["content"] == f"{GUARD}\n\nBe brief."


def test_the_safety_vector_is_left_in_at_the_largest_weight_that_keeps_the_score():
    lm, up, down = (tiny_model(seed) for seed in range(3))
    aligned, unaligned = weights_of(up.base), weights_of(down.base)
    name = "model.layers.0.mlp.up_proj.weight"
    before = weights_of(lm.base)[name].clone()
    step = aligned[name] - unaligned[name]

    def score():
        return 1 - float((weights_of(lm.base)[name] - before).norm() / step.norm())

    assert strongest_resta(lm, aligned, unaligned, (0.25, 1.0, 0.5), score, floor=0.4) == 0.5
    torch.testing.assert_close(weights_of(lm.base)[name], before + 0.5 * step)
    now = weights_of(lm.base)[name].clone()
    assert strongest_resta(lm, aligned, unaligned, (1.0,), score, floor=2.0) is None
    torch.testing.assert_close(weights_of(lm.base)[name], now)
