import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import nn

from trued.language.engine.lora import patch_lora_forward
from trued.language.engine.tiny import tiny_model


def layers(dtype=torch.float32, dropout=0.0, bias=True):
    """The same LoRA layer twice: PEFT's own, and a patched one; its adapter's B is not zero."""
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(12, 20, bias=bias).to(dtype))
    config = LoraConfig(r=3, lora_alpha=7, lora_dropout=dropout, target_modules=["0"])
    model = get_peft_model(base, config)  # pyright: ignore
    (layer,) = (module for module in model.modules() if type(module) is Linear)
    nn.init.normal_(layer.lora_B["default"].weight)
    other = copy.deepcopy(layer)
    patch_lora_forward(nn.ModuleList([other]))
    return layer, other


def run(layer, dtype=torch.float32):
    torch.manual_seed(1)
    x = torch.randn(2, 5, 12).to(dtype).requires_grad_()
    out = layer(x)
    out.float().square().sum().backward()
    return out, x.grad, layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_pefts(bias):
    ours, theirs = (run(layer) for layer in reversed(layers(bias=bias)))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


def test_in_bfloat16_the_gradients_of_the_adapter_are_float32_and_close():
    theirs, ours = (run(layer, torch.bfloat16) for layer in layers(torch.bfloat16))
    assert [x.dtype for x in ours] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
    for a, b in zip(ours, theirs, strict=True):
        assert torch.nn.functional.cosine_similarity(a.float().flatten(), b.float().flatten(), 0) > 0.9999


def test_less_is_kept_for_backward():
    sizes = []
    for layer in layers(torch.bfloat16):
        storages = {}

        def keep(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        x = torch.ones(200, 12, dtype=torch.bfloat16, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            layer(x)
        sizes.append(sum(storage.nbytes() for storage in storages.values()))
    assert sizes[1] < 0.6 * sizes[0]


def test_a_frozen_adapter_still_passes_the_gradient_of_its_input():
    results = []
    for layer in layers():
        layer.requires_grad_(False)
        x = torch.linspace(-1, 1, 24).view(2, 12).requires_grad_()
        results.append(torch.autograd.grad(layer(x).square().sum(), x)[0])
    torch.testing.assert_close(*results)


def test_switched_off_merged_or_with_dropout_the_layer_is_pefts():
    theirs, ours = layers(dropout=0.5)
    x = torch.linspace(-1, 1, 24).view(2, 12)
    for layer in (theirs, ours):
        layer.train()
    torch.manual_seed(2)
    expected = theirs(x)
    torch.manual_seed(2)
    torch.testing.assert_close(ours(x), expected)
    for layer in (theirs, ours):
        layer.enable_adapters(False)
    torch.testing.assert_close(ours(x), ours.base_layer(x))
    for layer in (theirs, ours):
        layer.enable_adapters(True)
        layer.merge()
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_models_adapter_is_patched():
    tuned = tiny_model().with_lora(2, 4)
    forwards = [module.forward.__func__.__module__ for module in tuned.model.modules() if type(module) is Linear]
    assert forwards
    assert set(forwards) == {"trued.language.engine.lora"}


def test_what_follows_a_layer_may_change_its_output_in_place():
    ours, theirs = (layer(torch.ones(2, 5, 12)).add_(1.0) for layer in reversed(layers()))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    ours.sum().backward()
