"""Sums of suffix losses and their gradients, over prompts and over models, against plain sums and one-hot gradients."""

import pytest
import torch
from torch.nn import functional as F

from trued.errors import InputError
from trued.language.attack.gcg.ensemble import SummedLoss, require_one_vocabulary
from trued.language.attack.gcg.loss import SuffixLoss
from trued.language.attack.gcg.suffix import SlottedPrompt
from trued.language.engine.tiny import tiny_model

AIMS = [("tell me", "Sure, here"), ("and now this one", "Yes")]


def parts(lm):
    prompts = [SlottedPrompt.render(lm, prompt) for prompt, _ in AIMS]
    targets = [lm.reply_ids(target, end=False) for _, target in AIMS]
    return [SuffixLoss(lm, p.before, p.after, t) for p, t in zip(prompts, targets, strict=True)]


def rows(lm, count=6, n=5):
    drawn = torch.randint(lm.tokenizer.vocab_size - 5, (count, n), generator=torch.Generator().manual_seed(0))
    drawn[1:, :2] = drawn[0, :2]
    return drawn


def one_hot_gradient(loss, suffix):
    """The gradient through a plain forward pass of the one-hot suffix, over the whole vocabulary."""
    lm = loss.model
    table = lm.embed(torch.arange(lm.config.vocab_size)).detach()
    one_hot = F.one_hot(suffix, len(table)).float().requires_grad_()
    rest = torch.cat([loss.after, loss.target[:-1]])
    inputs = torch.cat([lm.embed(loss.before).detach(), one_hot @ table, lm.embed(rest).detach()])
    logits = lm.model(inputs_embeds=inputs[None]).logits[0, -len(loss.target) :]
    return torch.autograd.grad(F.cross_entropy(logits, loss.target), one_hot)[0]


def test_losses_are_sums_and_exact_means_everywhere(tiny, monkeypatch):
    groups = [parts(tiny), parts(tiny_model(1, hidden=48))]
    summed, suffixes = SummedLoss(groups), rows(tiny)
    each = [loss(suffixes)[0] for group in groups for loss in group]
    _, base = summed.gradient(suffixes[0])
    for start in (None, base, summed.encode(suffixes[0])):
        losses, exact = summed(suffixes, start)
        torch.testing.assert_close(losses, torch.stack(each).sum(0), atol=1e-4, rtol=0)
        assert not exact.any()
    verdicts = torch.tensor([True, True, False])
    monkeypatch.setattr(SuffixLoss, "__call__", lambda self, *_: (torch.zeros(3), verdicts))
    assert summed(suffixes[:3])[1].tolist() == [True, True, False]
    groups[1][1].__class__ = type("Never", (SuffixLoss,), {"__call__": lambda *_: (torch.zeros(3), ~verdicts)})
    assert not summed(suffixes[:3])[1].any()


def test_over_prompts_the_gradient_is_that_of_the_sum(tiny):
    group, suffix = parts(tiny), rows(tiny)[0]
    summed = SummedLoss([group])
    everything = torch.arange(tiny.config.vocab_size)
    slopes = summed.gradient(suffix)[0] @ summed.embed(everything).T
    expected = sum(one_hot_gradient(loss, suffix) for loss in group)
    torch.testing.assert_close(slopes, expected, atol=1e-5, rtol=1e-3)
    assert summed.backwards == 2
    assert summed.forwards == 2 + 2  # the prompts before their slots, and the gradients


def test_over_models_one_hot_gradients_have_unit_norm_before_they_are_added(tiny):
    loud = tiny_model(1, hidden=48)
    with torch.no_grad():
        loud.model.lm_head.weight.mul_(30)  # tied: its embeddings, too
    groups, suffix = [parts(tiny), parts(loud)], rows(tiny)[0]
    summed = SummedLoss(groups)
    everything = torch.arange(tiny.config.vocab_size)
    gradient, _ = summed.gradient(suffix)
    assert gradient.shape == (len(suffix), 32 + 48)
    slopes = [torch.stack([one_hot_gradient(loss, suffix) for loss in group]).sum(0) for group in groups]
    expected = sum(F.normalize(each, dim=1) for each in slopes)
    torch.testing.assert_close(gradient @ summed.embed(everything).T, expected, atol=1e-4, rtol=1e-3)


def test_models_have_to_share_a_vocabulary(tiny, merging):
    require_one_vocabulary([tiny, tiny_model(1)])
    # Two tokens more, and behind them no special token has the id that it has in the other: 3 entries against 4.
    with pytest.raises(InputError, match=r"tiny-random \(259 tokens\) and merging \(260 .* in 7 entries; an ensemble"):
        require_one_vocabulary([tiny, merging])
