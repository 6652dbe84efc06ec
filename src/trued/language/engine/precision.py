"""The same model in another precision: float32, bfloat16, or int8 weights and activations; its adapter stays as it is.

Int8 is dynamic: each weight row has a scale of its own, fixed beforehand, and each token's activations get one when
they are there. LoRA stays beside the quantised layers in its own precision, since folding it into int8 weights would
round it away. Gradients pass through the rounding unchanged (straight-through), so that embedding attacks can be
computed on the quantised model. torch.ao's `quantize_dynamic` is deprecated and has no gradients.

Knows modules and weights. Knows nothing of texts or of what is measured.
"""

from __future__ import annotations

import copy
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from trued.errors import InputError, nearest
from trued.language.engine.loading import default_dtype
from trued.language.engine.model import LanguageModel

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_LARGEST = 127


def in_precision(lm: LanguageModel, precision: Precision) -> LanguageModel:
    """Return a copy of `lm` in another precision; the original is left alone.

    Casting upwards brings no digits back: a model that was loaded in bfloat16 computes its bfloat16 weights in float32.
    "int8" converts the decoder's linear layers; embeddings, norms and the output head compute in float32.

    Raises:
        InputError: an unknown precision, or a model whose adapter is folded into its weights.
    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}{nearest(precision, PRECISIONS)}: {', '.join(PRECISIONS)}")
    if any(getattr(module, "merged_adapters", None) for module in lm.model.modules()):
        raise InputError(
            f"the adapter of {lm.name} is folded into its weights: leave `merged` before copying the model"
        )
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model = copy.deepcopy(lm.model)
    for name, parameter in model.named_parameters():
        if "lora_" not in name:
            parameter.data = parameter.data.to(dtype)
    twin = lm.around(model)
    if precision == "int8":
        _quantise(twin.backbone)
    return twin


def served(lm: LanguageModel) -> LanguageModel:
    """Return a copy of a model in the number format that this device computes in, or itself if it is in that already.

    What works on float32 weights measures what a user gets, at a user's speed, on the copy.
    """
    dtype = default_dtype(str(lm.device))
    return lm if lm.dtype == dtype else in_precision(lm, "bfloat16" if dtype is torch.bfloat16 else "float32")


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, one scale a row, and activations quantised token by token as they come.

    Args:
        linear: the layer to take the place of.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight: Tensor
        self.scale: Tensor
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().float(), requires_grad=False)

    def forward(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        out: Tensor = _Product.apply(x.float(), self.weight, self.scale)  # pyright: ignore
        return out if self.bias is None else out + self.bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Int8[Tensor, "outputs inputs"], scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        rows = x.flatten(0, -2)
        step = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
        whole = (rows / step).round().to(torch.int8)
        # The CUDA kernel takes only some shapes; float32 holds these sums nearly exactly.
        product = torch._int_mm(whole, weight.T) if x.is_cpu else whole.float() @ weight.T.float()
        return (product * step * scale).unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        weight, scale = ctx.saved_tensors
        return (gradients[0] * scale) @ weight.float(), None, None


def _quantise(module: nn.Module) -> None:
    """Replace every linear layer below `module` but the factors of LoRA, which are children of its layers."""
    for name, child in module.named_children():
        if name.startswith("lora_"):
            continue
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        else:
            _quantise(child)
