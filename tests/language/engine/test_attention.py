import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig

from trued.language.engine import attention
from trued.language.engine.attention import NAME, attention_of, short_attention, use_short_attention
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model


class Layer(nn.Module):
    is_causal = True
    num_key_value_groups = 3


def inputs(batch=2, heads=6, kv_heads=2, queries=5, keys=5, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    shapes = ((batch, heads, queries, 8), (batch, kv_heads, keys, 8), (batch, kv_heads, keys, 8))
    return [torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def reference(query, key, value, mask, *, causal=False):
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal).transpose(1, 2)


def gradients(out, parts):
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return torch.autograd.grad((out * weight).sum(), parts)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(0, 4), st.booleans())
def test_values_and_gradients_are_those_of_the_kernel(batch, kv_heads, groups, queries, past, boolean):
    parts = inputs(batch, kv_heads * groups, kv_heads, queries, queries + past)
    seen = torch.ones(queries, queries + past, dtype=torch.bool).tril(past).expand(batch, 1, -1, -1)
    mask = seen if boolean else torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -1e30)
    ours, weights = short_attention(Layer(), *parts, mask)
    theirs = reference(*parts, mask)
    assert weights is None
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, parts), gradients(theirs, parts))


def test_a_mask_that_is_learned_gets_its_gradient():
    parts = inputs()
    mask = torch.zeros(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    ours, theirs = short_attention(Layer(), *parts, mask)[0], reference(*parts, mask)
    torch.testing.assert_close(gradients(ours, [mask]), gradients(theirs, [mask]))


def test_without_a_mask_a_whole_sequence_is_causal_and_a_single_query_sees_everything():
    parts = inputs()
    torch.testing.assert_close(short_attention(Layer(), *parts, None)[0], reference(*parts, None, causal=True))
    parts = inputs(queries=1)
    torch.testing.assert_close(short_attention(Layer(), *parts, None)[0], reference(*parts, None))


@pytest.mark.parametrize(
    ("shape", "mask", "options"),
    [
        ({"queries": 3}, None, {}),  # a chunk after a cache, whose causal mask is the kernel's business
        ({}, None, {"dropout": 0.1}),
        ({}, None, {"position_bias": torch.zeros(1, 6, 5, 5, dtype=torch.float64)}),
    ],
)
def test_what_is_not_plain_is_left_to_the_kernel(monkeypatch, shape, mask, options):
    calls = []
    monkeypatch.setattr(
        attention, "sdpa_attention_forward", lambda *args, **kwargs: calls.append(kwargs) or (args[1], None)
    )
    short_attention(Layer(), *inputs(**shape), mask, **options)
    assert calls
    assert options.items() <= calls[0].items()


def test_long_sequences_are_left_to_the_kernel(monkeypatch):
    monkeypatch.setattr(attention, "LARGEST", 2 * 6 * 5 * 5 - 1)
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *args, **kwargs: ("kernel", None))
    assert short_attention(Layer(), *inputs(), None)[0] == "kernel"


def test_bfloat16_is_as_exact_as_the_kernel():
    exact = inputs(queries=40, keys=40)
    seen = torch.ones(40, 40, dtype=torch.bool).tril()[None, None]
    truth = reference(*exact, seen)
    coarse = [x.detach().bfloat16().requires_grad_() for x in exact]
    mask = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill(~seen, torch.finfo(torch.bfloat16).min)
    ours, kernel = (
        float((out.detach().double() - truth.detach()).abs().mean())
        for out in (short_attention(Layer(), *coarse, mask)[0], reference(*coarse, mask))
    )
    assert ours < 2.5 * kernel


def test_a_model_uses_it_and_computes_the_same():
    lm = tiny_model()
    assert lm.base.config._attn_implementation == NAME
    prompts, replies = ["one", "two or three"], [["yes", "no no"], ["perhaps"]]
    ours = lm.logprobs(prompts, replies)
    lm.base.set_attn_implementation("sdpa")
    theirs = lm.logprobs(prompts, replies)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_model_that_asks_for_another_attention_keeps_it():
    lm = tiny_model()
    lm.base.set_attn_implementation("eager")
    use_short_attention(lm.base)
    assert LanguageModel(lm.base, lm.tokenizer).base.config._attn_implementation == "eager"


def test_values_of_another_width_than_keys_and_a_learned_bias_are_the_kernels():
    query, key, value = (part.detach() for part in inputs())
    narrow = value[..., : value.shape[-1] // 2]
    out, _ = short_attention(Layer(), query, key, narrow, None)
    torch.testing.assert_close(out, short_attention(Layer(), query, key, value, None)[0][..., : narrow.shape[-1]])
    bias = torch.zeros(1, 1, query.shape[2], key.shape[2], requires_grad=True)
    short_attention(Layer(), query, key, value, bias)[0].square().sum().backward()
    assert bias.grad is not None
    assert bias.grad.abs().max() > 0


def test_a_family_is_loaded_in_the_attention_that_it_has():
    assert attention_of(AutoConfig.for_model("llama")) == "sdpa"
    assert attention_of(AutoConfig.for_model("bloom")) == "eager"
    assert attention_of(AutoConfig.for_model("gpt_oss")) == "eager"
