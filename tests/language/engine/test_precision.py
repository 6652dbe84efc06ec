"""Int8 against double precision, its gradient, and a copy that leaves the original and its adapter alone."""

import pytest
import torch
from torch import nn

from trued.errors import InputError
from trued.language.engine.precision import Int8Linear, in_precision


def layer(bias=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = nn.Linear(48, 20, bias=bias)
    for parameter in made.parameters():
        nn.init.normal_(parameter, generator=generator)
    return made, torch.randn(3, 5, 48, generator=generator)


@pytest.mark.parametrize("bias", [True, False])
def test_int8_is_the_product_of_rounded_numbers(bias):
    linear, x = layer(bias)
    weight, x64 = linear.weight.detach().double(), x.double()
    row = weight.abs().amax(1, keepdim=True) / 127
    token = x64.abs().amax(-1, keepdim=True) / 127
    expected = ((x64 / token).round() * token) @ ((weight / row).round() * row).T
    if bias:
        expected = expected + linear.bias.detach().double()
    result = Int8Linear(linear)(x)
    torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        error = (result - linear(x)).norm() / linear(x).norm()
    assert 1e-4 < float(error) < 0.03


def test_rounding_errors_stay_within_half_a_step_each():
    linear, x = layer(bias=False)
    row = linear.weight.detach().abs().amax(1) / 127
    token = x.abs().amax(-1, keepdim=True) / 127
    bound = (x.abs().sum(-1, keepdim=True) * row + linear.weight.detach().abs().sum(1) * token) / 2
    bound = bound + linear.in_features * row * token / 4
    assert bool(((Int8Linear(linear)(x) - linear(x)).abs() <= bound + 1e-4).all())


def test_zero_rows_and_tokens_are_exact():
    linear, x = layer(bias=False)
    with torch.no_grad():
        linear.weight[3] = 0
    x[0, 0] = 0
    result = Int8Linear(linear)(x)
    assert not result[..., 3].any()
    assert not result[0, 0].any()


def test_gradients_pass_the_rounding():
    linear, x = layer()
    x.requires_grad_(True)
    quantised = Int8Linear(linear)
    seed = torch.randn(3, 5, 20, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(quantised(x), x, seed)
    torch.testing.assert_close(gradient, seed @ (quantised.weight.float() * quantised.scale[:, None]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_copy_computes_nearly_the_same_and_the_original_stays(tiny, precision):
    lm = tiny.with_lora(r=2, alpha=4)
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    before = {name: p.clone() for name, p in lm.model.state_dict().items()}
    twin = in_precision(lm, precision)
    rows = lm.rows([lm.prompt_ids("tell me")], [[lm.reply_ids("Sure, here is more text")]])
    with torch.no_grad():
        ours, theirs = lm.response_logprobs(rows), twin.response_logprobs(rows)
        with twin.adapter(enabled=False):
            bare = twin.response_logprobs(rows)
    tolerance = {"float32": 0.0, "bfloat16": 0.15, "int8": 0.3}[precision]
    assert float((ours - theirs).abs().max()) <= tolerance
    assert float((theirs - bare).abs().max()) > tolerance
    assert twin.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    kinds = {type(m.base_layer) for m in twin.model.modules() if hasattr(m, "base_layer")}
    assert kinds == ({Int8Linear} if precision == "int8" else {nn.Linear})
    assert all(p.dtype == torch.float32 for name, p in twin.model.named_parameters() if "lora_" in name)
    after = lm.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_head_and_embeddings_are_left_whole(tiny):
    twin = in_precision(tiny, "int8")
    assert type(twin.head) is nn.Linear
    assert torch.equal(twin.embed(torch.arange(5)), tiny.embed(torch.arange(5)))
    assert not any(type(m) is nn.Linear for m in twin.backbone.modules())
    assert twin.generate(["hello"], max_new_tokens=4)


def test_precisions_that_are_none(tiny):
    with pytest.raises(InputError, match="unknown precision 'int4'"):
        in_precision(tiny, "int4")
    lm = tiny.with_lora(r=2, alpha=4)
    with lm.merged(), pytest.raises(InputError, match="leave `merged` before"):
        in_precision(lm, "int8")
