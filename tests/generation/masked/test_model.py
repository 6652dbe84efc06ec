"""Masked models: the small transformer, adapters, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trued.errors import InputError
from trued.generation.masked.model import FromLogits, HuggingFaceMaskedLM, MaskedConfig, TinyMaskedLM

CONFIG = MaskedConfig(20, 8, 16, 2, 2)


def ids_and_where():
    ids = torch.randint(0, 19, (3, 6), generator=torch.Generator().manual_seed(0))
    where = torch.zeros(3, 6, dtype=torch.bool)
    where[0, [1, 4]] = where[2, 5] = True
    return ids.masked_fill(where, 19), where


def test_logits_of_chosen_positions_are_those_of_all():
    model = TinyMaskedLM(CONFIG).eval()
    ids, where = ids_and_where()
    whole = model(ids, torch.ones_like(where)).view(3, 6, 20)
    assert torch.allclose(model(ids, where), whole[where], atol=1e-6)
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 19
    moved = (model(changed, where) - model(ids, where)).abs().amax(-1)
    assert bool((moved[:2] > 1e-6).all())  # both directions are seen
    assert moved[2].item() == 0  # and no other row


def test_without_attention_a_block_sees_one_token_to_each_side():
    model = TinyMaskedLM(MaskedConfig(20, 8, 16, 1, 2)).eval()
    nn.init.zeros_(model.blocks[0].out.weight)  # pyright: ignore
    ids, everywhere = torch.arange(8)[None], torch.ones(1, 8, dtype=torch.bool)
    changed = ids.clone()
    changed[0, 4] = 19
    with torch.no_grad():
        moved = (model(changed, everywhere) - model(ids, everywhere)).abs().amax(-1)
    assert (moved > 1e-6).tolist() == [False, False, False, True, True, True, False, False]


def with_clock(clock):
    return TinyMaskedLM(replace(CONFIG, clock=clock), seed=3)


def test_a_clock_starts_idle_and_tells_times_apart_once_it_has_weights():
    free, timed = TinyMaskedLM(CONFIG, seed=3), with_clock("running")
    ids, where = ids_and_where()
    times = torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(free(ids, where), timed(ids, where, times), atol=1e-6)
    nn.init.normal_(timed.norm.moves)  # pyright: ignore
    assert timed.timed
    assert not torch.allclose(timed(ids, where, times), timed(ids, where, times.flip(0)), atol=1e-3)
    with pytest.raises(InputError, match="is timed"):
        timed(ids, where)


def test_a_stopped_clock_is_the_running_one_at_time_0():
    stopped, running = with_clock("stopped"), with_clock("running")
    for parameter in running.parameters():
        nn.init.normal_(parameter, std=0.1)
    stopped.load_state_dict(running.state_dict())
    ids, where = ids_and_where()
    assert not stopped.timed
    assert torch.equal(stopped(ids, where), running(ids, where, torch.zeros(3)))
    assert torch.equal(stopped(ids, where, torch.rand(3)), stopped(ids, where))


def test_a_causal_model_predicts_each_token_from_those_before_it():
    model = TinyMaskedLM(replace(CONFIG, causal=True)).eval()
    ids, everywhere = torch.arange(8)[None], torch.ones(1, 8, dtype=torch.bool)
    changed = ids.clone()
    changed[0, 4] = 15
    with torch.no_grad():
        moved = (model(changed, everywhere) - model(ids, everywhere)).abs().amax(-1)
    assert (moved > 1e-6).tolist() == [False] * 5 + [True] * 3


def test_the_seed_decides_the_weights_and_leaves_the_callers_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, three = (TinyMaskedLM(CONFIG, seed=seed) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert torch.equal(first.tokens.weight, second.tokens.weight)
    assert not torch.equal(first.tokens.weight, three.tokens.weight)


def test_a_plain_function_is_a_model():
    table = torch.arange(60.0).view(3, 20)
    model = FromLogits(lambda ids: table[ids % 3], 19, 20)
    ids, where = ids_and_where()
    assert torch.equal(model(ids, where), table[(ids % 3)[where]])


def test_a_hugging_face_model_gives_its_own_logits_with_its_head_on_few_positions():
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    bert = BertForMaskedLM(
        BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    ).eval()
    ids, where = ids_and_where()
    model = HuggingFaceMaskedLM(bert, 19)
    rows: list[int] = []
    model.head.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0].numel() // 16))  # pyright: ignore
    with torch.no_grad():
        result = model(ids, where)
        assert rows == [3]
        assert torch.allclose(result, bert(input_ids=ids).logits[where], atol=1e-5)
    with pytest.raises(InputError, match="ids run from 0 to 29"):
        HuggingFaceMaskedLM(bert, 30)


def test_a_model_without_a_named_head_is_asked_for_everything():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 20)
            self.config = SimpleNamespace(vocab_size=20)

        def forward(self, input_ids):
            return SimpleNamespace(logits=self.table(input_ids))

    bare = Bare()
    ids, where = ids_and_where()
    assert torch.equal(HuggingFaceMaskedLM(bare, 19)(ids, where), bare.table(ids)[where])


def test_shapes_that_do_not_fit():
    with pytest.raises(InputError, match="multiple of heads"):
        MaskedConfig(20, 8, 15, 2, 2)
    with pytest.raises(InputError, match="at least 2 token ids"):
        MaskedConfig(1)
    with pytest.raises(InputError, match="choose none, running or stopped"):
        MaskedConfig(20, 8, 16, 2, 2, clock="broken")  # pyright: ignore
    with pytest.raises(InputError, match="takes 8 at most"):
        TinyMaskedLM(CONFIG)(torch.zeros(1, 9, dtype=torch.long), torch.ones(1, 9, dtype=torch.bool))
