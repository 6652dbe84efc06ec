"""One small batch of token ids, and whether two of its results agree: how a change of weights is checked.

Knows Hugging Face causal language models. Knows nothing of adapters.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LENGTH = 7
"""Tokens of the batch: enough for attention over a context, at the price of one short row."""

_FLOAT32 = 1e-4
"""Largest difference, as a share of the largest logit, between two orders of the same float32 sums."""

_HALF = 0.15
"""Largest root mean square difference, as a share of the logits' own, that rounding weights to 16 bits explains."""


@torch.no_grad()
def probe(model: Any, rows: int | None = None) -> Float[Tensor, "length vocab"]:
    """Return the model's logits for the batch, in float32, without dropout; no random number is drawn.

    Args:
        model: takes `input_ids`.
        rows: token ids are below this; None for the model's own number of embeddings.
    """
    embeddings = model.get_input_embeddings()
    last = (int(embeddings.weight.shape[0]) if rows is None else rows) - 1
    ids = torch.linspace(0, last, LENGTH, device=embeddings.weight.device).long()[None]
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        return model(input_ids=ids, use_cache=False).logits[0].float()
    finally:
        for module in training:
            module.training = True


def agree(first: Float[Tensor, "length vocab"], second: Float[Tensor, "length other"], dtype: torch.dtype) -> bool:
    """Whether two results of `probe` are those of one function, in a model of this type.

    Of two vocabularies of different length the shorter one counts. Logits are compared up to a constant in each row.
    """
    vocab = min(first.shape[-1], second.shape[-1])
    a, b = (x[:, :vocab] - x[:, :vocab].mean(-1, keepdim=True) for x in (first, second))
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return False
    if dtype in (torch.float16, torch.bfloat16):
        return bool((a - b).square().mean().sqrt() <= _HALF * (1 + a.square().mean().sqrt()))
    return bool((a - b).abs().max() <= _FLOAT32 * (1 + a.abs().max()))
