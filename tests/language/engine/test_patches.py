"""The faster passes are taken off again: a wrapped model is the caller's own."""

import copy
import gc

import pytest
import torch

from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model

IDS = torch.arange(1, 25).view(2, 12)


def a_model(dtype=torch.bfloat16):
    """A model as a caller has it: never wrapped, or wrapped and given back."""
    lm = tiny_model()
    model, tokenizer = lm.model, lm.tokenizer
    del lm
    gc.collect()
    return model.to(dtype), tokenizer


def patched_parts(model) -> int:
    return sum("forward" in vars(module) for module in model.modules())


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_after_the_last_wrapper_the_model_computes_as_before(dtype):
    model, tokenizer = a_model(dtype)
    before, attention = logits(model), model.config._attn_implementation
    assert (patched_parts(model), attention) == (0, "sdpa")
    lm = LanguageModel(model, tokenizer)
    assert patched_parts(model) > 0
    assert model.config._attn_implementation != attention
    del lm
    assert patched_parts(model) == 0
    assert model.config._attn_implementation == attention
    assert torch.equal(logits(model), before)


def test_restore_does_the_same_at_once():
    model, tokenizer = a_model()
    before = logits(model)
    lm = LanguageModel(model, tokenizer)
    lm.restore()
    assert patched_parts(model) == 0
    assert torch.equal(logits(model), before)


def test_a_model_is_patched_as_long_as_somebody_wraps_it():
    model, tokenizer = a_model()
    first, second = LanguageModel(model, tokenizer), LanguageModel(model, tokenizer)
    del first
    assert patched_parts(model) > 0
    tuned = second.with_lora(r=2)
    layers = patched_parts(model)
    del second
    assert patched_parts(model) == layers
    assert any("lora" in name for name, _ in tuned.model.named_parameters())
    del tuned
    assert patched_parts(model) == 0


def test_copies_are_patched_and_restored_on_their_own():
    model, tokenizer = a_model(torch.float32)
    lm = LanguageModel(model, tokenizer)
    twin = copy.deepcopy(lm)
    other = twin.model
    assert patched_parts(other) == patched_parts(model) > 0
    del twin
    gc.collect()
    assert patched_parts(other) == 0
    assert patched_parts(model) > 0
    torch.testing.assert_close(logits(other), logits(model))


def test_a_forward_pass_that_somebody_else_changed_is_left_alone():
    model, tokenizer = a_model()
    norm = model.model.norm
    changed = norm.forward = lambda x, own=norm.forward: own(x) * 2
    lm = LanguageModel(model, tokenizer)
    assert norm.forward is changed
    del lm
    assert norm.forward is changed


def test_the_docstring_says_what_is_changed_and_how_to_undo_it():
    assert "in place" in LanguageModel.__doc__.splitlines()[0]
    assert "restore()" in LanguageModel.__doc__
