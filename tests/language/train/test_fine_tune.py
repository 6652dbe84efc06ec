"""Fine-tuning of all weights, and the constrained objective against its closed form."""

import copy

import pytest
import torch

from trued.data.prompts import ReplyRow
from trued.errors import InputError
from trued.language.train.fine_tune import TokenConstraint, constrained_loss, fine_tune
from trued.language.train.supervised import collate, encode, reply_loss
from trued.learn.fit.loop import FitConfig

ROWS = [ReplyRow("one", "uno, a longer reply"), ReplyRow("two", "dos")]
CONFIG = FitConfig(steps=3, lr=1e-2, batch_size=2, warmup=0.0)


def loss_of(lm):
    with torch.no_grad():
        return float(reply_loss(lm, collate(lm, encode(lm, ROWS)))["loss"])


def test_all_weights_learn_and_keep_their_flags(tiny):
    before, start = copy.deepcopy(tiny.base.state_dict()), loss_of(tiny)
    tiny.base.requires_grad_(False)
    fine_tune(tiny, ROWS, CONFIG, progress=False)
    assert loss_of(tiny) < start
    assert all(not torch.equal(value, before[name]) for name, value in tiny.base.state_dict().items())
    assert not any(p.requires_grad for p in tiny.base.parameters())
    with pytest.raises(InputError, match="merge it first"):
        fine_tune(tiny.with_lora(2), ROWS, CONFIG)


def test_the_constrained_objective_is_its_formula(tiny):
    batch = collate(tiny, encode(tiny, ROWS))
    lengths = [len(tiny.reply_ids(row.reply)) for row in ROWS]
    places = torch.cat([torch.arange(n) for n in lengths])
    references = -3 * torch.rand(sum(lengths), generator=torch.Generator().manual_seed(0))
    result = constrained_loss(tiny, batch, references, places, TokenConstraint())["loss"]
    logprobs = torch.cat([group[0] for group in tiny.logprobs([r.prompt for r in ROWS], [[r.reply] for r in ROWS])])
    each = []
    for t, now, then in zip(places.tolist(), logprobs.tolist(), references.tolist(), strict=True):
        beta = 0.5 if t == 0 else 2.0 if t < 5 else 0.1
        ratio = beta * (now - then)
        each.append(2 / beta * torch.log1p(torch.exp(torch.tensor(-ratio))))
    torch.testing.assert_close(result.detach(), torch.stack(each).mean(), atol=1e-4, rtol=1e-4)


def test_it_starts_as_cross_entropy_does_and_holds_early_tokens(tiny):
    twin = copy.deepcopy(tiny)
    batch = collate(tiny, encode(tiny, ROWS))
    places = torch.cat([torch.arange(len(tiny.reply_ids(row.reply))) for row in ROWS])
    tiny.base.requires_grad_(True)
    parameter = next(tiny.base.parameters())
    with torch.no_grad():
        now = torch.cat([group[0] for group in tiny.logprobs([r.prompt for r in ROWS], [[r.reply] for r in ROWS])])
    (plain,) = torch.autograd.grad(reply_loss(tiny, batch)["loss"], parameter)
    (held,) = torch.autograd.grad(constrained_loss(tiny, batch, now, places, TokenConstraint())["loss"], parameter)
    torch.testing.assert_close(plain, held, atol=1e-5, rtol=1e-3)
    fine_tune(tiny, ROWS, CONFIG, constraint=TokenConstraint(50.0, 50.0, 5, 50.0), progress=False)
    fine_tune(twin, ROWS, CONFIG, progress=False)
    assert loss_of(twin) < loss_of(tiny)


def test_strengths_are_positive():
    with pytest.raises(InputError, match="above 0"):
        TokenConstraint(first=0)
