"""The embedding attack: its ball, its gradient, its bookkeeping, and the simplex projection."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack, mean_embedding_norm, project, transfer
from trued.language.attack.soft_suffix import SoftSuffixAttack, project_simplex
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import per_response


def rows_for(lm, replies=("yes, of course", "sure")):
    prompts = [lm.prompt_ids("a"), lm.prompt_ids("a longer prompt")]
    return lm.rows(prompts, [[lm.reply_ids(r, end=False)] for r in replies])


def target_loss(lm, rows, delta=None):
    with torch.no_grad():
        return -per_response(lm.response_logprobs(rows, delta), rows) / rows.lengths


@pytest.mark.parametrize("optimizer", ["sign", "adam", "rmsprop"])
def test_attack_raises_the_targets_likelihood_inside_its_ball(tiny, optimizer):
    rows = rows_for(tiny)
    attack = EmbeddingAttack(eps=0.3, steps=8, relative_lr=True, optimizer=optimizer)
    result = attack.perturb(tiny, rows)
    assert result.delta.norm(dim=-1).max() <= attack.radius(tiny) * 1.0001
    assert not result.delta[~rows.prompt_mask].any()
    assert (target_loss(tiny, rows, result.delta) < target_loss(tiny, rows)).all()
    assert result.losses[0] == pytest.approx(float(target_loss(tiny, rows).mean()), abs=1e-5)
    assert len(result.losses) == result.forwards == result.backwards == 8


def test_one_step_is_the_projected_sign_gradient(tiny):
    rows = rows_for(tiny)
    attack = EmbeddingAttack(eps=0.05, steps=1, lr=0.01)
    delta = torch.zeros(*rows.input_ids.shape, tiny.config.hidden_size, requires_grad=True)
    loss = (-per_response(tiny.response_logprobs(rows, delta), rows) / rows.lengths).sum()
    (gradient,) = torch.autograd.grad(loss, delta)
    expected = project(-0.01 * gradient.sign(), 0.05 * mean_embedding_norm(tiny)) * rows.prompt_mask[..., None]
    torch.testing.assert_close(attack.perturb(tiny, rows).delta, expected)


def test_attack_leaves_model_and_modes_as_they_were(tiny):
    lm = tiny.with_lora(r=2, alpha=4, dropout=0.5)
    lm.model.train()
    EmbeddingAttack(steps=2).perturb(lm, rows_for(lm))
    assert lm.model.training
    assert any(p.requires_grad for p in lm.model.parameters())
    assert all(p.grad is None for p in lm.model.parameters())


def test_return_best_is_never_worse_than_any_step(tiny):
    rows = rows_for(tiny)
    wild = EmbeddingAttack(eps=2.0, steps=6, lr=1.0, return_best=True).perturb(tiny, rows)
    assert float(target_loss(tiny, rows, wild.delta).mean()) <= min(wild.losses) + 1e-4


def test_affirmative_counts_rows_that_decode_their_target(tiny):
    prompt = tiny.prompt_ids("a")
    best = int(tiny.base(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())
    rows = tiny.rows([prompt], [[[best]]])
    result = EmbeddingAttack(steps=1, count_affirmative=True).perturb(tiny, rows)
    assert result.affirmative == [1]
    other = rows_for(tiny, ("qqqq", "qqqq"))
    assert EmbeddingAttack(steps=1, count_affirmative=True).perturb(tiny, other).affirmative == [0]


def test_reach_tells_when_the_absolute_step_cannot_fill_the_ball(tiny):
    assert EmbeddingAttack(lr=1e-9).reach(tiny) < 1 < EmbeddingAttack(relative_lr=True).reach(tiny)
    assert EmbeddingAttack(relative_lr=True).reach(tiny) == pytest.approx(2.5)


def test_transfer_moves_by_prompt_order(tiny):
    source = rows_for(tiny, ("a reply that is long", "b"))
    target = tiny.rows(
        [tiny.prompt_ids("a"), tiny.prompt_ids("a longer prompt")],
        [[tiny.reply_ids("no"), tiny.reply_ids("never")], [tiny.reply_ids("x")]],
    )
    delta = torch.randn(*source.input_ids.shape, 4) * source.prompt_mask[..., None]
    moved = transfer(delta, source, target)
    assert torch.equal(moved[target.prompt_mask], delta[source.prompt_mask])
    assert not moved[~target.prompt_mask].any()
    with pytest.raises(InputError, match="number of tokens"):
        transfer(delta, source, tiny.rows([[1], [2]], [[[1]], [[1]]]))


def test_bad_options_are_refused(tiny):
    with pytest.raises(InputError, match="eps -1"):
        EmbeddingAttack(eps=-1)
    rows = tiny.rows([tiny.prompt_ids("a")], [[[5], [6]]])
    with pytest.raises(InputError, match="one a row"):
        EmbeddingAttack().perturb(tiny, rows)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_simplex_projection_is_the_nearest_point(values):
    row = torch.tensor([values], dtype=torch.float64)
    point = project_simplex(row)[0]
    assert point.min() >= 0
    assert float(point.sum()) == pytest.approx(1)
    # optimality: every coordinate in the support was moved by the same amount, the others by less than that
    moved = row[0] - point
    support = point > 1e-12
    threshold = moved[support].mean()
    assert torch.allclose(moved[support], threshold.expand(int(support.sum())))
    assert (row[0][~support] <= threshold + 1e-9).all()


def test_soft_suffix_lowers_the_loss_and_stays_on_the_simplex(tiny):
    result = SoftSuffixAttack(slots=4, steps=12, lr=0.1).perturb(
        tiny, "a", "sure", generator=torch.Generator().manual_seed(0)
    )
    assert result.losses[-1] < result.losses[0]
    assert result.rows.min() >= 0
    torch.testing.assert_close(result.rows.sum(-1), torch.ones(4))
    with pytest.raises(InputError, match="empty"):
        SoftSuffixAttack().perturb(tiny, "a", "", generator=torch.Generator())


def test_soft_suffix_stands_in_the_prompt_that_the_model_reads(tiny):
    from tokenizers.processors import TemplateProcessing

    start = tiny.tokenizer.convert_tokens_to_ids("<|im_start|>")
    tiny.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", start)]
    )
    for template in (None, "none"):
        lm = LanguageModel(tiny.model, tiny.tokenizer, template=template)
        before, after = SoftSuffixAttack()._split(lm, "say x")
        assert before + after == lm.prompt_ids("say x")
