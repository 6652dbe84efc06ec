"""Recovery against the paper's steps written out on plain tensors, its driver's choices, and what it refuses."""

import copy
import json
import math

import pytest
import torch

from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.repair.alignment_recovery.config import PAPER, RecoveryConfig
from trued.language.repair.alignment_recovery.recover import aligned_view, recover
from trued.language.repair.alignment_recovery.representation import repairable
from trued.learn.weights import weights_of

HARMFUL = ["how to do harm", "a bad thing", "a worse thing, please"]
TASK = ["task one", "task two is longer"]
FEW = RecoveryConfig(rate=0.01, steps=4, warmup=2, save_every=2, batch_size=2)


@pytest.fixture
def pair():
    aligned = tiny_model(layers=3)
    return aligned, moved(aligned)


def moved(aligned, size=0.05):
    model = copy.deepcopy(aligned.base)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return LanguageModel(model, aligned.tokenizer, name="fine-tuned")


def recovery_of(pair, config=FEW, score=lambda _: 1.0, **options):
    aligned, lm = pair
    view = aligned_view(aligned, HARMFUL, config)
    return recover(lm, weights_of(aligned.base), view, HARMFUL, TASK, score, config, **options)


def plain_states(lm, prompts, depth):
    ids = [torch.tensor([lm.prompt_ids(p)]) for p in prompts]
    outs = [lm.backbone(input_ids=i, output_hidden_states=True).hidden_states[depth][0, -1] for i in ids]
    return torch.stack(outs)


def plain_gradient(lm, prompts, goal, depth, batch):
    parameters = repairable(lm, depth)
    loss = 0
    for start in range(0, len(prompts), batch):
        mean = plain_states(lm, prompts[start : start + batch], depth).mean(0)
        loss = loss - torch.cosine_similarity(mean, goal, dim=0)
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


@pytest.mark.parametrize("rollback", [False, True])
def test_a_step_is_the_papers(pair, rollback):
    """Gradient, mask, threshold, copy and rollback by plain tensors and one sort."""
    aligned, lm = pair
    twin, start = copy.deepcopy(lm), weights_of(copy.deepcopy(lm.base))
    theta_a = weights_of(aligned.base)
    with torch.no_grad():
        d_H, d_B = plain_states(aligned, HARMFUL, 2).mean(0), plain_states(twin, TASK, 2).mean(0)
    g = plain_gradient(twin, HARMFUL, d_H, 2, FEW.batch_size)
    names = list(g)
    now, goal, grad = (torch.cat([source[n].flatten() for n in names]) for source in (start, theta_a, g))
    wanted = grad.abs() * ((now - goal).sign() == grad.sign())
    k = math.ceil(FEW.rate * sum(p.numel() for p in lm.base.parameters()))
    mask = torch.zeros_like(wanted, dtype=torch.bool)
    mask[wanted.sort(descending=True, stable=True).indices[:k]] = True
    expected = torch.where(mask, goal, now)
    if rollback:
        with torch.no_grad():
            for name, values in zip(names, expected.split([g[n].numel() for n in names]), strict=True):
                dict(twin.base.named_parameters())[name].copy_(values.view_as(g[name]))
        g_B = plain_gradient(twin, TASK, d_B, 2, FEW.batch_size)
        back = torch.cat([g_B[n].flatten() for n in names])
        wish = back.abs() * mask * ((expected - now).sign() == back.sign())
        undo = wish.sort(descending=True, stable=True).indices[: math.ceil(0.2 * int((wish > 0).sum()))]
        assert 0 < len(undo) < k
        expected[undo] = now[undo]
    config = RecoveryConfig(**{**vars(FEW), "steps": 1, "warmup": 1, "save_every": 1})
    scores = iter([1.0, 0.5, 1.0] if rollback else [1.0, 1.0])
    result = recovery_of(pair, config, lambda _: next(scores))
    after = weights_of(lm.base)
    assert torch.equal(torch.cat([after[n].flatten() for n in names]), expected)
    assert result.rollback is rollback
    others = set(after) - set(names)
    assert others
    assert all(torch.equal(after[name], start[name]) for name in others)


def test_it_turns_the_view_back_with_few_weights_and_random_ones_do_not(pair):
    aligned, _ = pair
    config = RecoveryConfig(rate=0.004, steps=6, warmup=3, save_every=3)
    result = recovery_of(pair, config)
    assert result.outcome == "recovered"
    assert result.chosen_step == 6
    assert result.restored_fraction < 0.04
    data = json.loads(json.dumps(result.to_json()))
    assert data["restored"] == result.patch.count
    assert data["restored_fraction"] == data["restored"] / data["parameters"]
    assert [step["step"] for step in data["history"]] == [1, 2, 3, 4, 5, 6]
    first, last = result.history[0].harmful_gap, result.history[-1].harmful_gap
    assert last < first / 2
    other = recovery_of((aligned, moved(aligned)), RecoveryConfig(**{**vars(config), "rule": "random"}))
    assert other.history[-1].harmful_gap > 1.5 * last


def test_the_patch_is_the_whole_change(pair):
    _, lm = pair
    before = weights_of(copy.deepcopy(lm.base))
    result = recovery_of(pair)
    after = weights_of(copy.deepcopy(lm.base))
    assert sum(int((after[n] != before[n]).sum()) for n in after) == result.patch.count > 0
    result.patch.revert(lm.base)
    assert all(torch.equal(weights_of(lm.base)[n], before[n]) for n in before)
    result.patch.apply(lm.base)
    assert all(torch.equal(weights_of(lm.base)[n], after[n]) for n in after)


# -- the driver --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "outcome", "chosen", "rollback"),
    [
        ([1, 1, 1], "recovered", 4, False),  # fine-tuned, step 2, step 4
        ([1, 0.96, 0.94], "recovered", 2, False),
        ([1, 0.94, 1, 1], "recovered", 4, True),  # the warm-up fails, then steps 2 and 4 with rollback
        ([1, 0.94, 0.95, 0.9], "recovered", 2, True),
        ([1, 0.94, 0.9], "no checkpoint kept the task", 0, True),
    ],
)
def test_the_last_checkpoint_before_the_first_that_costs_too_much(pair, scores, outcome, chosen, rollback):
    _, lm = pair
    before = weights_of(copy.deepcopy(lm.base))
    left = iter(scores)
    result = recovery_of(pair, FEW, lambda _: next(left))
    assert (result.outcome, result.chosen_step, result.rollback) == (outcome, chosen, rollback)
    assert list(left) == []
    runs = [step for step in result.history if step.rollback is rollback]
    expected = runs[chosen - 1].restored if chosen else 0
    assert result.patch.count == expected
    changed = sum(int((p != before[n]).sum()) for n, p in weights_of(lm.base).items())
    assert changed == expected
    assert all(step.undone for step in result.history if step.rollback)


def test_it_leaves_no_gradients_and_the_models_own_flags(pair):
    _, lm = pair
    lm.base.requires_grad_(False)
    recovery_of(pair)
    assert all(p.grad is None and not p.requires_grad for p in lm.base.parameters())


def test_accumulated_gradients_take_another_path(pair):
    aligned, _ = pair
    fresh = recovery_of(pair).patch
    accumulated = recovery_of((aligned, moved(aligned)), RecoveryConfig(**{**vars(FEW), "accumulate": True})).patch
    assert fresh.count == accumulated.count
    assert any(
        name not in accumulated.changes or not torch.equal(change.indices, accumulated.changes[name].indices)
        for name, change in fresh.changes.items()
    )


@pytest.mark.parametrize("changes", [{"centred": True}, {"granularity": "neuron"}, {"position": -2}])
def test_variants_close_the_gap_too(pair, changes):
    result = recovery_of(pair, RecoveryConfig(**{**vars(FEW), "steps": 6, "rate": 0.02, **changes}))
    assert result.history[-1].harmful_gap < 0.8 * result.history[0].harmful_gap


def test_the_principal_direction_moves_states_along_the_difference(pair):
    aligned, lm = pair
    config = RecoveryConfig(**{**vars(FEW), "steps": 6, "direction": "principal"})
    there = aligned_view(lm, HARMFUL, config)
    here = aligned_view(aligned, HARMFUL, config)
    result = recovery_of(pair, config)
    along = (here - there).mean(0)
    assert float((aligned_view(lm, HARMFUL, config) - there).mean(0) @ along) > 0
    assert result.history[-1].harmful_gap < result.history[0].harmful_gap


# -- what it refuses ---------------------------------------------------------------------------------------------------


def test_nothing_to_recover_changes_nothing(pair):
    _, lm = pair
    before = weights_of(copy.deepcopy(lm.base))
    result = recovery_of(pair, answered=lambda _: 0.0)
    assert (result.outcome, result.patch.count, result.history) == ("nothing to recover", 0, ())
    assert all(torch.equal(weights_of(lm.base)[n], before[n]) for n in before)
    assert recovery_of(pair, answered=lambda _: 0.1).outcome == "recovered"


def test_equal_models_have_nothing_to_restore():
    with pytest.raises(InputError, match="nothing to restore"):
        recovery_of((tiny_model(layers=3), tiny_model(layers=3)))


def test_models_and_data_that_do_not_fit_are_named(pair):
    aligned, lm = pair
    weights, view = weights_of(aligned.base), aligned_view(aligned, HARMFUL, FEW)

    def run(model=lm, weights=weights, view=view, harmful=HARMFUL, task=TASK, score=lambda _: 1.0):
        return recover(model, weights, view, harmful, task, score, FEW)

    with pytest.raises(InputError, match="0 harmful questions and 2 task prompts"):
        run(harmful=[])
    with pytest.raises(InputError, match="3 harmful questions and 0 task prompts"):
        run(task=[])
    with pytest.raises(InputError, match="3 aligned states for 2 harmful"):
        run(harmful=HARMFUL[:2])
    with pytest.raises(InputError, match="no harmful questions"):
        aligned_view(aligned, [])
    with pytest.raises(InputError, match="the other model has no weight"):
        run(weights=weights_of(tiny_model(layers=1).base))
    with pytest.raises(InputError, match="has shape"):
        run(weights=weights_of(tiny_model(layers=3, hidden=64).base))
    with pytest.raises(InputError, match="scores 0 on its task"):
        run(score=lambda _: 0.0)
    with pytest.raises(InputError, match="score is nan"):
        run(score=lambda _: float("nan"))
    narrow = copy.deepcopy(lm)
    narrow.model.to(torch.bfloat16)
    with pytest.raises(InputError, match=r"bfloat16: load it in float32"):
        run(model=narrow)
    with pytest.raises(InputError, match="merge it in float32"):
        run(model=lm.with_lora(2))


def test_a_resized_embedding_does_not_matter(pair):
    _, lm = pair
    lm.base.resize_token_embeddings(len(lm.tokenizer) + 8)
    assert recovery_of(pair).outcome == "recovered"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0: it is a share"),
        ({"layer_frac": 1.5}, "layer_frac is 1.5"),
        ({"max_task_drop": 1.0}, "max_task_drop is 1.0"),
        ({"steps": 0}, "steps is 0"),
        ({"position": 0}, "position is 0"),
        ({"direction": "median"}, "direction is 'median'"),
        ({"rule": "sing"}, "did you mean sign"),
    ],
)
def test_unfit_settings_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        RecoveryConfig(**changes)


@pytest.mark.parametrize(("layers", "depth"), [(32, 21), (28, 18), (18, 12), (40, 26), (64, 42), (30, 20)])
def test_the_depth_is_the_papers(layers, depth, monkeypatch):
    monkeypatch.setattr("trued.language.repair.alignment_recovery.config.decoder_layers", lambda lm: range(layers))
    assert PAPER.depth(None) == depth
