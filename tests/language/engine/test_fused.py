import pytest
import torch
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from trued.language.engine.fused import patch_norms_and_activations
from trued.language.engine.tiny import tiny_model


def norm(dim=16):
    module = LlamaRMSNorm(dim, eps=1e-5)
    nn.init.normal_(module.weight, 1.0, 0.3)
    return module


def mlp(dim=16):
    return LlamaMLP(LlamaConfig(hidden_size=dim, intermediate_size=24, hidden_act="silu", num_attention_heads=2))


def run(module, dtype):
    torch.manual_seed(1)
    module.zero_grad()
    x = torch.randn(2, 5, 16).mul(3).to(dtype).requires_grad_()
    out = module(x)
    (out * torch.linspace(-1, 1, out.numel(), dtype=dtype).view(out.shape)).sum().backward()
    return out, x.grad, *(p.grad for p in module.parameters())


@pytest.mark.parametrize("make", [norm, mlp])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_equal_and_gradients_those_of_autograd(make, dtype):
    torch.manual_seed(0)
    module = make().to(dtype)
    theirs = run(module, dtype)
    patch_norms_and_activations(module)
    assert "forward" in module.__dict__
    ours = run(module, dtype)
    assert torch.equal(ours[0], theirs[0])
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_the_backward_pass_of_a_norm_leaves_its_input_to_others():
    module = norm()
    patch_norms_and_activations(module)
    x = torch.randn(2, 5, 16, requires_grad=True)
    before = x.detach().clone()
    (x.square().sum() + module(x).sum()).backward()
    assert torch.equal(x, before)


def test_the_gated_gradient_agrees_with_finite_differences():
    module = mlp().double()
    patch_norms_and_activations(module)
    x = torch.randn(1, 3, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, x)


def test_a_norm_of_another_form_is_left_alone():
    module = GemmaRMSNorm(16)
    module.variance_epsilon = module.eps
    nn.init.normal_(module.weight, 0.0, 0.3)
    patch_norms_and_activations(module)
    assert "forward" not in module.__dict__


def test_less_is_kept_for_backward():
    sizes = []
    for fused in (False, True):
        module, storages = nn.Sequential(norm(), mlp()).bfloat16().requires_grad_(False), {}
        if fused:
            patch_norms_and_activations(module)

        def keep(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            module(torch.ones(1, 100, 16, dtype=torch.bfloat16, requires_grad=True))
        sizes.append(sum(storage.nbytes() for storage in storages.values()))
    assert sizes[1] < 0.7 * sizes[0]


def test_a_model_is_fused_and_still_so_under_an_adapter():
    tuned = tiny_model().with_lora(2, 4)
    fused = {type(m).__name__ for m in tuned.base.modules() if getattr(m, "forward", None).__module__.endswith("fused")}
    assert fused == {"LlamaRMSNorm", "LlamaMLP"}


class GatedNorm(LlamaRMSNorm):
    """A norm that may be called with a gate beside its input."""

    def forward(self, hidden_states, gate=None):
        return super().forward(hidden_states if gate is None else hidden_states * gate)


def test_a_norm_that_takes_a_second_input_is_left_alone():
    module = GatedNorm(16)
    patch_norms_and_activations(module)
    x = torch.randn(2, 16)
    assert "forward" not in module.__dict__
    torch.testing.assert_close(module(x, 2 * x), LlamaRMSNorm(16)(2 * x * x))


def test_modules_of_one_class_are_told_apart_by_their_parts():
    """Where only the first of two blocks has the activation that is patched, the second keeps its own pass."""
    first, second = mlp(), mlp()
    second.act_fn = nn.GELU()
    patch_norms_and_activations(nn.ModuleList([first, second]))
    assert ["forward" in vars(block) for block in (first, second)] == [True, False]


def test_the_backward_pass_leaves_a_float32_input_as_it_was():
    module = norm()
    patch_norms_and_activations(module)
    x = torch.randn(2, 5, 16, requires_grad=True)
    before = x.detach().clone()
    first, second = (torch.autograd.grad(module(x).square().sum(), x)[0] for _ in range(2))
    assert torch.equal(x, before)
    torch.testing.assert_close(first, second)
