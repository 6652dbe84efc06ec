"""MixAT against C-AdvUL where they are the same, against its equations where they differ, and when it is cut off."""

import copy
from dataclasses import replace

import pytest
import torch

from trued.data.prompts import AdversarialRow
from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack, transfer
from trued.language.attack.persuasion import PERSUASION
from trued.language.train.adversarial import UtilityRow, collate, encode_chats, encode_pairs
from trued.language.train.c_advul import AdvLossConfig, CAdvIPO, CAdvUL, PreferenceLossConfig, cadvul_loss
from trued.language.train.mixat.align import KL_FLOOR, MixAT, divergence_from_base, what_was_trained_on
from trued.language.train.mixat.attack_target import FrozenTarget, initial
from trued.language.train.mixat.rewriters import PAPRewriter
from trued.learn.fit.loop import FitConfig, Interrupted

ROWS = [
    AdversarialRow("tell me", ("Sure, here", "Of course"), "No, I won't."),
    AdversarialRow("a longer request", ("Yes!",), "I can't help."),
] * 2
UTILITY = [UtilityRow("hello", "hi there"), UtilityRow("how are you", "fine")] * 6
ATTACK = EmbeddingAttack(eps=0.1, steps=2, relative_lr=True)
FIT = FitConfig(steps=4, lr=1e-2, batch_size=4, warmup=0.0, schedule="constant")
SMALL = {"attack": ATTACK, "lora_r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "adversarial_share": 0.5, "fit": FIT}
ONE = PAPRewriter(techniques=PERSUASION[1:2])


def trained(lm):
    return {name: p.detach().clone() for name, p in lm.model.named_parameters() if p.requires_grad}


def same(weights, other):
    return weights.keys() == other.keys() and all(torch.equal(weights[name], other[name]) for name in weights)


def moved(tiny):
    """A model whose adapter has learned something."""
    lm = tiny.with_lora(r=2, alpha=4)
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(0))
    return lm


def test_embeddings_only_is_c_advul_to_the_last_bit(tiny):
    theirs, _ = CAdvUL(**SMALL).align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
    ours, result = MixAT(variant="c", **SMALL).align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
    assert same(trained(theirs), trained(ours))
    assert what_was_trained_on(result)["rewritten"] == 0
    assert what_was_trained_on(result)["continuous"] > 0


def test_the_control_is_c_advul_without_an_attack(tiny):
    theirs, _ = CAdvUL(**{**SMALL, "attack": None}).align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
    ours, _ = MixAT(variant="clean", **SMALL).align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
    assert same(trained(theirs), trained(ours))


def test_the_preference_objective_is_c_advipo(tiny):
    loss = PreferenceLossConfig(utility_weight=1.0)
    theirs, _ = CAdvIPO(**SMALL, loss=loss).align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
    method = MixAT(variant="c", objective="preference", preference=loss, **SMALL)
    ours, _ = method.align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
    assert same(trained(theirs), trained(ours))


@pytest.mark.parametrize(("variant", "attack"), [("d", None), ("mixat", ATTACK)])
def test_rewritten_batches_have_the_loss_of_the_rewritten_requests(tiny, variant, attack):
    """One step over all rows with alpha 1: C-AdvUL's loss on rows whose prompts were rewritten by hand."""
    settings = {**SMALL, "adversarial_share": 1.0, "fit": replace(FIT, steps=1, batch_size=6)}
    method = MixAT(variant=variant, alpha=1.0, **settings)
    _, result = method.align(copy.deepcopy(tiny), ROWS, rewriter=ONE, progress=False)
    rewritten = [replace(row, prompt=PERSUASION[1].wrap(row.prompt)) for row in ROWS]
    expected = cadvul_loss(tiny, attack, collate(tiny, encode_pairs(tiny, rewritten)), AdvLossConfig())
    (step,) = result.history
    for name in ("loss", "away", "toward"):
        assert step[name] == pytest.approx(float(expected[name].detach()), rel=1e-4)
    assert (step["rewritten"], step["continuous"]) == (1.0, float(attack is not None))


def test_variants_train_on_what_they_say(tiny):
    fit = replace(FIT, steps=10, batch_size=1)
    outcome = {}
    for variant in ("dual", "mixat"):
        method = MixAT(variant=variant, **{**SMALL, "adversarial_share": 1.0, "fit": fit})
        _, result = method.align(copy.deepcopy(tiny), ROWS * 2, rewriter=ONE, progress=False)
        outcome[variant] = [(step["rewritten"], step["continuous"]) for step in result.history]
    assert sorted(outcome["dual"]) == [(0.0, 1.0)] * 5 + [(1.0, 0.0)] * 5
    assert sorted(outcome["mixat"]) == [(0.0, 1.0)] * 5 + [(1.0, 1.0)] * 5


class Suffixes:
    name, reads_model = "suffixes", True

    def __init__(self):
        self.models = []

    def rewrite(self, prompts, *, model, seed):
        assert not model.model.training
        self.models.append(model)
        return [f"{prompt} !!" for prompt in prompts]


def test_a_share_of_the_batches_gets_suffixes(tiny):
    suffixes = Suffixes()
    settings = {**SMALL, "adversarial_share": 1.0, "fit": replace(FIT, steps=10, batch_size=1)}
    method = MixAT(variant="mixat-gcg", gcg_share=0.2, **settings)
    tuned, result = method.align(tiny, ROWS, rewriter=ONE, suffixes=suffixes, progress=False)
    assert suffixes.models == [tuned] * 2
    assert what_was_trained_on(result)["rewritten"] == pytest.approx(0.6)


def test_static_rewrites_are_written_once(tiny):
    calls = []

    class Counting:
        name, reads_model = "counting", False

        def rewrite(self, prompts, *, model, seed):
            calls.extend(prompts)
            return [f"{prompt} number {len(calls)}" for prompt in prompts]

    settings = {**SMALL, "adversarial_share": 1.0, "fit": replace(FIT, steps=8)}
    MixAT(variant="d", static=True, **settings).align(copy.deepcopy(tiny), ROWS, rewriter=Counting(), progress=False)
    assert sorted(calls) == ["a longer request", "tell me"]
    calls.clear()
    MixAT(variant="d", **settings).align(copy.deepcopy(tiny), ROWS, rewriter=Counting(), progress=False)
    assert len(calls) > 20


def test_a_frozen_target_is_the_initial_model(tiny):
    batch = collate(tiny, encode_pairs(tiny, ROWS))
    at_first = ATTACK.perturb(tiny, batch.attack).delta
    lm = moved(tiny)
    frozen = FrozenTarget(**vars(ATTACK), lend=initial(lm)).perturb(lm, batch.attack).delta
    torch.testing.assert_close(frozen, at_first)
    assert (ATTACK.perturb(lm, batch.attack).delta - at_first).abs().max() > 1e-3
    assert all(p.requires_grad == ("lora" in name) for name, p in lm.model.named_parameters())


def test_training_against_a_frozen_target_differs_and_runs_in_full_too(tiny):
    runs = {}
    for static in (False, True):
        method = MixAT(variant="c", static_attacker=static, **{**SMALL, "fit": replace(FIT, lr=5e-2)})
        tuned, _ = method.align(copy.deepcopy(tiny), ROWS, UTILITY, progress=False)
        runs[static] = trained(tuned)
    assert not same(runs[False], runs[True])
    method = MixAT(variant="c", static_attacker=True, tune="full", **SMALL)
    _, result = method.align(tiny, ROWS, UTILITY, progress=False)
    assert result.steps == 4


def test_the_normalised_divergence_has_a_gradient_of_one_size(tiny):
    """k KL / KL.detach(): the value is k, the gradient k times that of log KL."""
    lm = moved(tiny)
    batch = collate(lm, [*encode_pairs(lm, ROWS), *encode_chats(lm, UTILITY)])
    weights = [p for p in lm.model.parameters() if p.requires_grad]
    divergence = divergence_from_base(lm, batch)
    gradients = torch.autograd.grad(divergence, weights, allow_unused=True)
    assert float(divergence.detach()) > KL_FLOOR
    result = {}
    for k in (0.0, 0.5):
        method = MixAT(variant="clean", kl_weight=k, **SMALL)
        loss = method.loss_of(lm, batch, mode="clean")["loss"]
        result[k] = float(loss.detach()), torch.autograd.grad(loss, weights, allow_unused=True)
    assert result[0.5][0] - result[0.0][0] == pytest.approx(0.5, abs=1e-4)
    for plain, more, own in zip(result[0.0][1], result[0.5][1], gradients, strict=True):
        if own is not None:
            torch.testing.assert_close(more - plain, 0.5 * own / divergence.detach(), atol=1e-5, rtol=1e-3)


def test_all_weights_of_a_copy_can_be_trained(tiny):
    before = {name: p.clone() for name, p in tiny.model.named_parameters()}
    tuned, _ = MixAT(tune="full", **SMALL).align(tiny, ROWS, UTILITY, rewriter=ONE, progress=False)
    assert not hasattr(tuned.model, "peft_config")
    after = dict(tuned.model.named_parameters())
    assert all(not torch.equal(after[name], p) for name, p in before.items())
    assert same(before, dict(tiny.model.named_parameters()))
    assert tuned.prompt_ids("x") == tiny.prompt_ids("x")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"kl_weight": -1.0}, "kl_weight -1.0"),
        ({"tune": "full", "kl_weight": 1.0}, "needs the base beside"),
        ({"tune": "full", "loss": AdvLossConfig(utility="kl")}, "needs the base beside"),
    ],
)
def test_settings_that_cannot_be(settings, match):
    with pytest.raises(InputError, match=match):
        MixAT(**settings)


def test_a_run_that_is_cut_off_continues_to_the_same_weights(tiny, tmp_path):
    """With two batches a step and rewrites of the model's own, which change as it learns."""
    fit = replace(FIT, steps=5, batch_size=2, accumulation=2, checkpoint_every=1)
    method = MixAT(**{**SMALL, "fit": fit})
    writes = {"rewriter": PAPRewriter(techniques=PERSUASION[:6], per="prompt"), "progress": False}
    whole, full = method.align(copy.deepcopy(tiny), ROWS, UTILITY, **writes)
    output = tmp_path / "run"

    def stop(log):
        if log.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        method.align(copy.deepcopy(tiny), ROWS, UTILITY, output=output, report=stop, **writes)
    resumed, rest = method.align(copy.deepcopy(tiny), ROWS, UTILITY, output=output, resume=True, **writes)
    assert same(trained(whole), trained(resumed))
    names = ("loss", "rewritten", "continuous", "lost", "pass_tokens")
    assert [[step[k] for k in names] for step in full.history] == [[step[k] for k in names] for step in rest.history]


def test_pass_tokens_are_counted(tiny):
    """2 (K tokens of the attack + tokens of the loss), a utility row's once more where the base is scored too."""
    settings = {**SMALL, "adversarial_share": 1.0, "fit": replace(FIT, steps=1, batch_size=6)}
    pairs = encode_pairs(tiny, ROWS)
    _, result = MixAT(variant="c", **settings).align(copy.deepcopy(tiny), ROWS, progress=False)
    attack = sum(len(p.prompt) + len(p.target) for p in pairs)
    loss = sum(len(p.prompt) + len(p.target) + len(p.safe) for p in pairs)
    assert result.history[0]["pass_tokens"] == 2 * (ATTACK.steps * attack + loss)
    chats = collate(tiny, encode_chats(tiny, UTILITY))
    method = MixAT(variant="c", **{**SMALL, "loss": AdvLossConfig(utility="kl")})
    lm = moved(tiny)
    assert method.loss_of(lm, chats, mode=None)["pass_tokens"] == 3 * chats.tokens


def test_training_makes_the_target_unlikely_around_rewritten_requests(tiny):
    fit = FitConfig(steps=15, lr=2e-2, batch_size=5, warmup=0.0, schedule="constant")
    loss = AdvLossConfig(away_cutoff=-12.0)
    method = MixAT(**{**SMALL, "lora_r": 4, "lora_alpha": 8, "fit": fit, "loss": loss})
    lm, _ = method.align(tiny, ROWS * 2, UTILITY * 2, rewriter=PAPRewriter(techniques=PERSUASION[:4]), progress=False)
    rewritten = [replace(row, prompt=PERSUASION[7].wrap(row.prompt)) for row in ROWS[:2]]
    batch = collate(lm, encode_pairs(lm, rewritten))

    def target_logprob():
        delta = transfer(ATTACK.perturb(lm, batch.attack).delta, batch.attack, batch.attack)
        return float(lm.response_logprobs(batch.attack, delta).mean().detach())

    tuned = target_logprob()
    with lm.adapter(enabled=False):
        assert tuned < target_logprob() - 0.5
