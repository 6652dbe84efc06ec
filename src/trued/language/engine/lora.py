"""PEFT's LoRA layers with one pass fewer over everything: the adapter's two thin products in the base weight's type.

PEFT copies each layer's input to float32, multiplies there, and adds to the output through two more copies. Here the
thin products are taken in the type of the base weights and added in place. Parameters stay float32, and so do their
gradients; the result is that of the same products under autocast, in float32 it is PEFT's own.

Knows PEFT's layers and linear algebra. Knows nothing of models or training.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def patch_lora_forward(model: nn.Module) -> None:
    """Give every plain LoRA layer of `model` the forward pass of this file; what is not plain stays PEFT's."""
    from peft.tuners.lora import Linear

    for layer in model.modules():
        if type(layer) is Linear and type(layer.get_base_layer()) is nn.Linear and "forward" not in vars(layer):
            layer.forward = MethodType(_forward, layer)


def restore_lora_forward(model: nn.Module) -> None:
    """Put PEFT's own forward pass back wherever `patch_lora_forward` changed it."""
    for layer in model.modules():
        if getattr(vars(layer).get("forward"), "__func__", None) is _forward:
            del layer.forward


def _forward(layer: Any, x: Float[Tensor, "... in"], *args: Any, **options: Any) -> Float[Tensor, "... out"]:
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    base = layer.base_layer
    plain = (
        not (args or options or layer.disable_adapters or layer.merged)
        and len(active) == 1
        and active[0] not in layer.lora_variant
        and x.dtype == base.weight.dtype
        and not base.weight.requires_grad
        and not (torch.is_autocast_enabled(x.device.type) and torch.get_autocast_dtype(x.device.type) != x.dtype)
        and (not layer.training or isinstance(layer.lora_dropout[active[0]], nn.Identity))
        and layer.lora_A[active[0]].bias is None
        and layer.lora_B[active[0]].bias is None
    )
    if not plain:
        return type(layer).forward(layer, x, *args, **options)
    A, B = layer.lora_A[active[0]].weight, layer.lora_B[active[0]].weight
    return _LoraLinear.apply(x, base.weight, base.bias, A, B, layer.scaling[active[0]])  # pyright: ignore


class _LoraLinear(torch.autograd.Function):
    """``y = x W^T + b + s (x A^T) B^T`` with a frozen W; x and x A^T are kept for backward if A and B are trained."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, A: Tensor, B: Tensor, s: float) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            a, b, rows = A.to(x.dtype), B.to(x.dtype), x.flatten(0, -2)
            inner = rows @ a.T
            # The result is no view, so that what follows may change it in place.
            out = x.new_empty(*x.shape[:-1], len(weight))
            flat = out.view(-1, len(weight))
            if bias is None:
                torch.mm(rows, weight.T, out=flat)
            else:
                torch.addmm(bias, rows, weight.T, out=flat)
            flat.addmm_(inner, b.T, alpha=s)
        _, _, _, by_A, by_B, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if by_A else None, weight, a, b, inner if by_B else None)
        ctx.s, ctx.shape, ctx.types = s, x.shape, (A.dtype, B.dtype)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore
        rows, weight, a, b, inner = ctx.saved_tensors
        by_x = by_A = by_B = None
        with torch.autocast(grad.device.type, enabled=False):
            outer = grad.reshape(-1, grad.shape[-1])
            by_inner = (outer @ b).mul_(ctx.s)
            if ctx.needs_input_grad[0]:
                by_x = (outer @ weight).addmm_(by_inner, a).view(ctx.shape)
            if rows is not None:
                by_A = (by_inner.T @ rows).to(ctx.types[0])
            if inner is not None:
                by_B = (outer.T @ inner).mul_(ctx.s).to(ctx.types[1])
        return by_x, None, None, by_A, by_B, None
