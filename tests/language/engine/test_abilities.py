"""Every family scores and replies as plain eager transformers does, however the engine may run it."""

from types import MethodType

import pytest
import torch
from small_families import FAMILIES, WINDOW, family, greedy, logprobs
from torch import nn
from transformers import BertConfig, BertLMHeadModel

from trued.errors import InputError
from trued.language.attack.gcg.loss import SuffixLoss
from trued.language.engine.model import LanguageModel
from trued.language.engine.patches import Patches
from trued.language.engine.tiny import tiny_model

PROMPTS = ["true the wheel", "of a bicycle, and then of another one", "true"]
REPLIES = [["yes, of course", "no"], ["perhaps not"], ["why", "a long reply beyond the window", "so"]]
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(params=FAMILIES)
def models(request):
    return family(request.param)


def expected(lm, plain, prompts=PROMPTS, replies=REPLIES):
    pairs = ((p, r) for p, group in zip(prompts, replies, strict=True) for r in group)
    return torch.cat([logprobs(plain, lm.prompt_ids(p), lm.reply_ids(r)) for p, r in pairs])


def ways(kind):
    lm, _ = family(kind)
    lm.response_logprobs(lm.rows([[5, 6, 7]], [[[8], [9]]]))
    return lm._abilities.way(lm), lm._abilities.decoding(lm).keep, lm.reuses_prefix(0)


def test_scores_of_one_and_several_replies_beyond_the_window(models):
    lm, plain = models
    assert min(len(lm.prompt_ids(p)) for p in PROMPTS) > WINDOW
    scores = torch.cat([torch.cat(group) for group in lm.logprobs(PROMPTS, REPLIES)])
    with torch.no_grad():
        torch.testing.assert_close(scores, expected(lm, plain), **CLOSE)
    assert all(torch.isfinite(scores))


def test_greedy_replies_to_prompts_of_several_lengths_that_begin_alike(models):
    lm, plain = models
    replies = lm.generate(PROMPTS, max_new_tokens=12)
    for prompt, (reply,) in zip(PROMPTS, replies, strict=True):
        tokens = greedy(plain, lm.prompt_ids(prompt), 12, lm.format.stop_ids)
        assert reply == lm.tokenizer.decode(tokens, skip_special_tokens=True)


def test_gradients_in_the_embeddings_of_prompts(models):
    lm, plain = models
    ids, replies = [lm.prompt_ids(p) for p in PROMPTS[:2]], [[lm.reply_ids(r) for r in g] for g in REPLIES[:2]]
    rows = lm.rows(ids, replies)
    with torch.no_grad():
        dim = lm.embed(rows.input_ids).shape[-1]
    delta = (
        0.05 * torch.randn(*rows.input_ids.shape, dim, generator=torch.Generator().manual_seed(1))
    ).requires_grad_()
    scores = lm.response_logprobs(rows, delta)
    (gradient,) = torch.autograd.grad(scores.sum(), delta)
    for row, (prompt, group) in enumerate(zip(ids, replies, strict=True)):
        shift = delta[row, : len(prompt)].detach().requires_grad_()

        def moved(_module, _inputs, output, shift=shift):
            return torch.cat([output[:, : len(shift)] + shift, output[:, len(shift) :]], 1)

        handle = plain.get_input_embeddings().register_forward_hook(moved)
        total = sum(logprobs(plain, prompt, reply).sum() for reply in group)
        handle.remove()
        (theirs,) = torch.autograd.grad(total, shift)
        torch.testing.assert_close(gradient[row, : len(prompt)], theirs, atol=2e-4, rtol=1e-3)


def test_a_suffix_has_the_loss_of_its_whole_prompt(models):
    lm, plain = models
    before, after, target = lm.prompt_ids("true the wheel"), [40, 41, 42], [50, 51, 52]
    suffixes = torch.tensor([[60, 61, 62, 63], [60, 61, 70, 71], [80, 61, 70, 71]])
    loss = SuffixLoss(lm, before, after, target)
    base = loss.encode(suffixes[0])
    values, _ = loss(suffixes, base)
    with torch.no_grad():
        theirs = [-logprobs(plain, [*before, *suffix, *after], target).mean() for suffix in suffixes.tolist()]
    torch.testing.assert_close(values, torch.stack(theirs), **CLOSE)


def test_copies_of_a_prompt_are_continued_apart():
    for kind in ("rwkv", "qwen3_5_text", "mistral"):
        lm, _ = family(kind)
        sampled = lm.generate(
            PROMPTS, max_new_tokens=6, n=3, temperature=1e-4, generator=torch.Generator().manual_seed(0)
        )
        for replies, greedily in zip(sampled, lm.generate(PROMPTS, max_new_tokens=6), strict=True):
            assert replies == greedily * 3, kind


def test_a_fast_way_is_taken_where_it_holds():
    assert ways("llama") == ("mask", "cache", True)
    assert ways("gpt2") == ("mask", "cache", True)
    assert ways("mistral") == ("positions", "cache", True)
    assert ways("gemma3_text") == ("positions", "cache", True)
    assert ways("bloom") == ("alone", "cache", True)
    for kind in ("qwen3_5_text", "falcon_h1", "lfm2", "mamba", "rwkv"):
        assert ways(kind) == ("alone", "state", False), kind


def test_weights_in_half_precision_take_the_same_way():
    for kind in ("mistral", "gemma2", "gpt2", "falcon_h1", "deepseek_v3"):
        exact, rounded = family(kind)[0], family(kind)[0]
        rounded.model.to(torch.bfloat16)
        for lm in (exact, rounded):
            lm._abilities.settle(lm)
        assert rounded._abilities.way(rounded) == exact._abilities.way(exact), kind
        assert rounded._abilities.decoding(rounded) == exact._abilities.decoding(exact), kind
        assert not rounded.patches._given_up, kind


def test_the_confirmed_family_is_not_run_for_it():
    lm = tiny_model()
    calls = []
    lm.base.register_forward_hook(lambda *_: calls.append(1))
    lm.backbone.register_forward_hook(lambda *_: calls.append(1))
    assert isinstance(lm.head, nn.Linear)
    lm._abilities.settle(lm)
    assert not calls


def test_a_probe_runs_once_and_leaves_mode_and_random_state_alone():
    lm, _ = family("mistral")
    lm.model.train()
    passes = []
    lm.base.model.register_forward_hook(lambda *_: passes.append(1))
    before = torch.get_rng_state()
    lm._abilities.settle(lm)
    count = len(passes)
    lm._abilities.settle(lm)
    lm.with_lora(r=2)._abilities.settle(lm)
    assert 0 < count == len(passes)
    assert lm.model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_is_not_itself_with_the_faster_passes_gets_its_own_back(monkeypatch):
    lm, plain = family("mistral")
    wrong = MethodType(lambda self, x: 2 * x, lm.base.model.norm)
    monkeypatch.setattr(Patches, "apply", lambda self: setattr(lm.base.model.norm, "forward", wrong))
    monkeypatch.setattr(Patches, "restore", lambda self: vars(lm.base.model.norm).pop("forward", None))
    given_up = []
    monkeypatch.setattr(Patches, "give_up", lambda self: (given_up.append(self), self.restore()))
    lm.patches.apply()
    with torch.no_grad():
        scores = torch.cat([torch.cat(group) for group in lm.logprobs(PROMPTS, REPLIES)])
        torch.testing.assert_close(scores, expected(lm, plain), **CLOSE)
    assert given_up == [lm.patches]


def test_passes_that_are_given_up_stay_off():
    lm, _ = family("mistral")
    assert any("forward" in vars(module) for module in lm.base.modules())
    lm.patches.give_up()
    with lm.patches.off():
        pass
    lm.patches.apply()
    assert not any("forward" in vars(module) for module in lm.base.modules())
    assert lm.base.config._attn_implementation == "sdpa"


def test_a_model_that_sees_later_tokens_is_refused():
    config = BertConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        is_decoder=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertLMHeadModel(config).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    lm = LanguageModel(model, tiny_model().tokenizer, name="bert")
    with pytest.raises(InputError, match=r"^bert \(BertLMHeadModel\) lets a token see later ones"):
        lm.logprobs(["hi"], [["yes"]])
