"""C-AdvUL and C-AdvIPO against their equations written out plainly, and against what would break them quietly."""

import math

import pytest
import torch

from trued.data.prompts import AdversarialRow
from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.train.adversarial import (
    Chat,
    Pair,
    UtilityRow,
    collate,
    encode_chats,
    encode_pairs,
    interleave,
    own_replies,
)
from trued.language.train.c_advul import (
    AdvLossConfig,
    CAdvIPO,
    CAdvUL,
    PreferenceLossConfig,
    cadvipo_loss,
    cadvul_loss,
    soft_cutoff,
    with_references,
)
from trued.learn.fit.loop import FitConfig

ROWS = [
    AdversarialRow("tell me", ("Sure, here", "Of course"), "No, I won't."),
    AdversarialRow("a longer request", ("Yes!",), "I can't help."),
]
UTILITY = [UtilityRow("hello", "hi there"), UtilityRow("how are you", "fine")]


def batch_for(lm, rows=ROWS, utility=UTILITY):
    return collate(lm, [*encode_pairs(lm, rows), *encode_chats(lm, utility)])


def plain(lm, prompt, reply, embeddings=None):
    """Mean log-probability of a reply after a prompt, one full forward; `embeddings` replace the prompt's."""
    ids = torch.tensor([prompt + reply])
    inputs = lm.embed(ids)
    if embeddings is not None:
        inputs = torch.cat([embeddings[None], inputs[:, len(prompt) :]], 1)
    logits = lm.base(inputs_embeds=inputs).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return logits[torch.arange(len(reply)), torch.tensor(reply)]


def attacked_prompt(lm, attack, pair):
    rows = lm.rows([pair.prompt], [[pair.target]])
    delta = attack.perturb(lm, rows).delta[0, : len(pair.prompt)]
    return lm.embed(torch.tensor(pair.prompt)) + delta


def test_cadvul_is_its_equation(tiny):
    """0.5 A + 0.5 T + 1.0 U with one perturbation for both replies, each pair attacked alone here."""
    attack = EmbeddingAttack(eps=0.2, steps=3, relative_lr=True)
    pairs = encode_pairs(tiny, ROWS)
    target, safe = [], []
    for pair in pairs:
        prompt = attacked_prompt(tiny, attack, pair)
        target.append(plain(tiny, pair.prompt, pair.target, prompt).mean())
        safe.append(plain(tiny, pair.prompt, pair.safe, prompt).mean())
    chats = encode_chats(tiny, UTILITY)
    utility = -torch.cat([plain(tiny, c.prompt, c.reply) for c in chats]).mean()
    away, toward = soft_cutoff(torch.stack(target).mean(), -9.0), soft_cutoff(-torch.stack(safe).mean(), 0.5)
    loss = cadvul_loss(tiny, attack, batch_for(tiny), AdvLossConfig(away_cutoff=-9.0))
    torch.testing.assert_close(loss["away"], away, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(loss["toward"], toward, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(loss["utility"], utility)
    torch.testing.assert_close(loss["loss"], 0.5 * away + 0.5 * toward + utility, atol=1e-3, rtol=1e-3)


def test_soft_cutoff_keeps_a_thousandth_of_the_slope():
    x = torch.tensor([-7.0, -3.0], requires_grad=True)
    y = soft_cutoff(x, -5.0)
    assert y.tolist() == pytest.approx([-5.007, -3.0])
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0.001, 1.0])


def test_unlikelihood_is_stable_where_the_target_is_certain(tiny):
    """log(1 - p) against float64, at a temperature that makes some targets all but certain."""
    head = tiny.head.weight
    batch = batch_for(tiny, utility=[])
    with torch.no_grad():
        head.mul_(20)
    loss = cadvul_loss(tiny, None, batch, AdvLossConfig(away="log_1_minus_p", away_cutoff=-30.0))
    states = tiny.states(batch.pairs).double()
    logp = (states @ head.double().T).log_softmax(-1).gather(-1, batch.pairs.targets[:, None])[:, 0]
    is_target = batch.pairs.owner % 2 == 1
    expected = -torch.where(logp >= -30, torch.log(-torch.expm1(logp)), 0.0)[is_target].mean()
    assert torch.isfinite(loss["away"])
    torch.testing.assert_close(loss["away"].double(), expected, atol=1e-3, rtol=1e-3)


def test_ipo_pulls_to_the_margin_of_one_over_two_beta(tiny):
    config = PreferenceLossConfig(beta=0.25, away_cutoff=-math.inf)
    lm = tiny.with_lora(r=2, alpha=4)
    pairs = with_references(lm, encode_pairs(lm, ROWS), config)
    for pair in pairs:
        expected = (plain(lm, pair.prompt, pair.safe).mean(), plain(lm, pair.prompt, pair.target).mean())
        assert pair.reference == pytest.approx([float(x.detach()) for x in expected], abs=1e-4)
    loss = cadvipo_loss(lm, None, collate(lm, pairs), config)
    assert float(loss["margin"]) == pytest.approx(0, abs=1e-4)  # an adapter at its start is its reference
    assert float(loss["loss"]) == pytest.approx(4.0, abs=1e-3)


def test_references_belong_to_their_example_in_any_order(tiny):
    config = PreferenceLossConfig()
    lm = tiny.with_lora(r=2, alpha=4)
    pairs = with_references(lm, encode_pairs(lm, ROWS), config, batch=1)
    assert pairs[0].reference != pairs[1].reference
    together = collate(lm, pairs[::-1]).references
    assert together is not None
    assert together.tolist() == [pytest.approx(p.reference, abs=1e-5) for p in pairs[::-1]]
    again = with_references(lm, pairs[::-1], config, batch=3)
    assert [p.reference for p in again] == [pytest.approx(p.reference, abs=1e-4) for p in pairs[::-1]]


def test_windows_stop_the_pull(tiny):
    """With every target token below the cutoff, the rejected side has no gradient left."""
    lm = tiny.with_lora(r=2, alpha=4)
    config = PreferenceLossConfig(away_cutoff=-1e-6, toward_cutoff=1e3)
    batch = collate(lm, with_references(lm, encode_pairs(lm, ROWS), config))
    loss = cadvipo_loss(lm, None, batch, config)["loss"]
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in lm.model.parameters())


@pytest.mark.parametrize("loss", ["ipo", "sigmoid", "hinge", "kto_pair"])
@pytest.mark.parametrize("online", [False, True])
def test_every_preference_loss_has_a_gradient_that_prefers_the_safe_reply(tiny, loss, online):
    lm = tiny.with_lora(r=2, alpha=4)
    config = PreferenceLossConfig(loss=loss, online_reference=online, away_cutoff=-20.0)
    pairs = encode_pairs(lm, ROWS)
    batch = collate(lm, pairs if online else with_references(lm, pairs, config))
    attack = EmbeddingAttack(steps=2, relative_lr=True)
    trainable = [p for p in lm.model.parameters() if p.requires_grad]
    before = cadvipo_loss(lm, attack, batch, config)
    gradients = torch.autograd.grad(before["loss"], trainable, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(trainable, gradients, strict=True):
            if gradient is not None:
                parameter -= 0.01 * gradient / (gradient.norm() + 1e-9)
    after = cadvipo_loss(lm, attack, batch, config)
    assert after["margin"] > before["margin"]


def test_a_batch_of_one_kind_gives_zero_for_the_other(tiny):
    only_chats = collate(tiny, encode_chats(tiny, UTILITY))
    loss = cadvul_loss(tiny, EmbeddingAttack(), only_chats, AdvLossConfig())
    assert float(loss["away"]) == float(loss["toward"]) == 0
    assert float(loss["loss"].detach()) == float(loss["utility"].detach()) > 0
    only_pairs = collate(tiny, encode_pairs(tiny, ROWS))
    assert float(cadvul_loss(tiny, None, only_pairs, AdvLossConfig())["utility"]) == 0
    with pytest.raises(InputError, match="with_references"):
        cadvipo_loss(tiny, None, only_pairs, PreferenceLossConfig())


def test_divergence_from_the_base_is_zero_at_the_start_and_pulls_back(tiny):
    """KL(base || model) written out, for an adapter that has moved."""
    lm = tiny.with_lora(r=2, alpha=4)
    batch = collate(lm, encode_chats(lm, UTILITY))
    config = AdvLossConfig(utility="kl")
    assert float(cadvul_loss(lm, None, batch, config)["utility"].detach()) == pytest.approx(0, abs=1e-6)
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(0))
    moved = cadvul_loss(lm, None, batch, config)["utility"]
    with torch.no_grad():
        now = (lm.states(batch.chats) @ lm.head.weight.T).log_softmax(-1)
        with lm.adapter(enabled=False):
            ref = (lm.states(batch.chats) @ lm.head.weight.T).log_softmax(-1)
    expected = torch.nn.functional.kl_div(now, ref, log_target=True, reduction="none").sum(-1).mean()
    torch.testing.assert_close(moved.detach(), expected, atol=1e-5, rtol=1e-4)
    moved.backward()
    assert any(p.grad is not None and p.grad.any() for p in lm.model.parameters())


def test_mixture_has_its_share_and_stops_at_the_first_exhausted():
    pairs = [Pair([1], [i], [1]) for i in range(1000)]
    chats = [Chat([1], [i]) for i in range(4000)]
    mixed = interleave(pairs, chats, 0.125, torch.Generator().manual_seed(0))
    share = sum(isinstance(e, Pair) for e in mixed) / len(mixed)
    assert abs(share - 0.125) < 0.02
    kinds = {id(e) for e in mixed}
    assert len(kinds) == len(mixed)
    assert sum(isinstance(e, Chat) for e in mixed) == 4000 or sum(isinstance(e, Pair) for e in mixed) == 1000
    assert len(interleave(pairs, [], 1.0, torch.Generator())) == 1000
    with pytest.raises(InputError, match="utility rows"):
        interleave(pairs, [], 0.5, torch.Generator())


def test_long_replies_are_cut_and_a_full_prompt_is_refused(tiny):
    first, _ = encode_pairs(tiny, ROWS[:1], max_length=len(tiny.prompt_ids("tell me")) + 3)
    assert len(first.target) == len(first.safe) == 3
    with pytest.raises(InputError, match="leaves no room"):
        encode_pairs(tiny, ROWS, max_length=5)
    with pytest.raises(InputError, match="no adversarial rows"):
        encode_pairs(tiny, [])


def test_own_replies_learn_an_end_only_where_there_was_one(tiny):
    (cut,) = own_replies(tiny, ["hello"], max_new_tokens=3)
    assert not cut.complete
    tiny.format.stop_ids = frozenset(range(len(tiny.tokenizer))) - {tiny.reply_ids(cut.reply, end=False)[0]}
    (ended,) = own_replies(tiny, ["hello"], max_new_tokens=30)
    assert ended.complete
    open_chat, closed_chat = encode_chats(tiny, [cut, ended])
    assert closed_chat.reply[-1:] == tiny.format.end_ids
    assert open_chat.reply[-1:] != tiny.format.end_ids


@pytest.mark.parametrize("objective", [CAdvUL, CAdvIPO])
def test_training_makes_the_target_unlikely_under_attack(tiny, objective):
    config = FitConfig(steps=30, lr=2e-2, batch_size=5, warmup=0.0, schedule="constant")
    attack = EmbeddingAttack(eps=0.1, steps=2, relative_lr=True)
    share = 0.5 if objective is CAdvUL else 1.0
    method = objective(attack=attack, lora_r=4, lora_alpha=8, lora_dropout=0.0, adversarial_share=share, fit=config)
    rows = ROWS * 4
    lm, result = method.align(tiny, rows, UTILITY * 8, progress=False)
    pair = encode_pairs(lm, ROWS)[0]
    tuned = plain(lm, pair.prompt, pair.target, attacked_prompt(lm, attack, pair)).mean()
    with lm.adapter(enabled=False):
        base = plain(lm, pair.prompt, pair.target, attacked_prompt(lm, attack, pair)).mean()
    assert tuned < base - 0.5
    assert result.steps == 30
    assert [n for n, p in lm.model.named_parameters() if p.requires_grad and "lora" not in n] == []
