"""Attention for short sequences on a CPU, several times as fast there as PyTorch's flash kernel.

That kernel is made for long sequences: on 63 tokens of bfloat16 its forward and backward pass take six times as long as
the four matrix products that attention consists of. Here these are taken at once, and the backward pass computes the
weights again instead of keeping them, so that memory stays what it is with the kernel.

Knows queries, keys, values and masks. Knows nothing of models but where transformers looks attention functions up.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "trued_short"
LARGEST = 1 << 24
"""Entries of the weights (batch, heads, queries, keys) above which the kernel's blocks are the better choice."""


def use_short_attention(model: Any) -> None:
    """Let a Hugging Face model that uses PyTorch's `scaled_dot_product_attention` use `short_attention` instead."""
    if getattr(model.config, "_attn_implementation", None) == "sdpa":
        try:
            model.set_attn_implementation(NAME)
        except ValueError:
            model.set_attn_implementation("sdpa")  # a family that takes no attention function from outside


def attention_of(config: Any) -> str:
    """Return the attention to load a causal language model of this configuration with: sdpa where its class has it."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kinds: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), ())
    kinds = kinds if isinstance(kinds, list | tuple) else (kinds,)
    return "sdpa" if kinds and all(getattr(kind, "_supports_sdpa", False) for kind in kinds) else "eager"


def restore_attention(model: Any) -> None:
    """Let a model that `use_short_attention` changed use PyTorch's own attention again."""
    if getattr(model.config, "_attn_implementation", None) == NAME:
        model.set_attn_implementation("sdpa")


def short_attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys dim"],
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[Float[Tensor, "batch queries heads dim"], None]:
    """Do what transformers' `sdpa_attention_forward` does, and leave to it what is not short, on a CPU and plain."""
    queries, keys = query.shape[2], key.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    whole = attention_mask is None and causal and queries > 1
    if (
        query.device.type != "cpu"
        or query.shape[0] * query.shape[1] * queries * keys > LARGEST
        or dropout
        or value.shape[-1] != query.shape[-1]
        or (attention_mask is not None and attention_mask.requires_grad)  # a learned bias
        or (whole and queries != keys)
        or any(options.get(name) is not None for name in ("softcap", "s_aux", "position_bias", "cache"))
    ):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask,
            dropout=dropout, scaling=scaling, is_causal=is_causal, **options,
        )  # fmt: skip
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
    if whole:
        attention_mask = torch.ones(queries, keys, dtype=torch.bool).tril()[None, None]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = _Attention.apply(query, key, value, _additive(attention_mask, query.dtype), scale)
    return out.transpose(1, 2).contiguous(), None  # pyright: ignore


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if mask is None or mask.dtype != torch.bool:
        return None if mask is None else mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


class _Attention(torch.autograd.Function):
    """Softmax attention in which the query heads of one key head are laid behind each other, as rows of one product."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale = scale
        with torch.autocast("cpu", enabled=False):
            weights = _weights(query, key, mask, scale)
            return _rows(weights, key.shape[1]).matmul(value).view(query.shape)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore
        query, key, value, mask = ctx.saved_tensors
        heads = key.shape[1]
        with torch.autocast("cpu", enabled=False):
            weights = _weights(query, key, mask, ctx.scale)
            outer = _rows(grad.contiguous(), heads)
            by_weight = outer.matmul(value.transpose(-1, -2)).view(weights.shape)
            by_score = torch._softmax_backward_data(by_weight, weights, -1, weights.dtype)
            by_score = _rows(by_score, heads)
            return (
                (by_score.matmul(key) * ctx.scale).view(query.shape),
                by_score.transpose(-1, -2).matmul(_rows(query, heads)) * ctx.scale,
                _rows(weights, heads).transpose(-1, -2).matmul(outer),
                None,
                None,
            )


def _weights(
    query: Tensor, key: Tensor, mask: Tensor | None, scale: float
) -> Float[Tensor, "batch heads queries keys"]:
    scores = _rows(query, key.shape[1]).matmul(key.transpose(-1, -2)).mul_(scale)
    scores = scores.view(*query.shape[:3], key.shape[2])
    if mask is not None:
        scores += mask
    return scores.softmax(-1)


def _rows(tensor: Tensor, kv_heads: int) -> Float[Tensor, "batch kv_heads rows last"]:
    batch, heads, queries, last = tensor.shape
    return tensor.reshape(batch, kv_heads, heads // kv_heads * queries, last)


AttentionInterface.register(NAME, short_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
