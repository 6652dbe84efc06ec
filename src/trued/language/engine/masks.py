"""Attention masks for tokens whose columns are not their positions: siblings in one row, padding after a shared prefix.

transformers builds the mask of each kind of layer (full, sliding window, chunks) from a rule on positions, and takes a
token's column for its position. Inside `seeing` the same rule gets the true positions, and each token sees only what it
may. So every family's windows are counted in positions of a token's own sequence, and no family is named here.

Knows transformers' mask functions. Knows nothing of models or token ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from trued.language.engine.attention import NAME

_IMPLEMENTATIONS = ("sdpa", NAME, "eager")


class UnknownMaskError(Exception):
    """A family asks for a mask that is no rule on positions alone."""


class Built:
    """What masks were built inside `seeing`."""

    def __init__(self) -> None:
        self.masks = 0
        self.windowed = 0


@contextmanager
def seeing(
    seen: Bool[Tensor, "rows queries keys"], queries: Int[Tensor, "rows queries"], keys: Int[Tensor, "rows keys"]
) -> Iterator[Built]:
    """Let the masks that transformers builds meanwhile hold between tokens at these positions.

    Args:
        seen: whether a query may look at a key at all; a layer's window is laid over it.
        queries: position of each query in its own sequence.
        keys: position of each key in its own sequence, cached ones first.

    Raises:
        UnknownMaskError: in the forward pass, where a mask needs more than positions.
    """
    built = Built()

    def build(
        *, q_length: int, kv_length: int, mask_function: Any, kv_offset: int = 0, use_vmap: bool = False, **options: Any
    ) -> Tensor:
        if use_vmap or kv_offset or (q_length, kv_length) != tuple(seen.shape[1:]):
            raise UnknownMaskError
        built.masks += 1
        built.windowed += options.get("local_size") is not None
        batch = torch.arange(len(seen), device=seen.device)[:, None, None, None]
        rule = mask_function(batch, torch.zeros_like(batch), queries[:, None, :, None], keys[:, None, None, :])
        mask = rule & seen[:, None]
        return _additive(mask, options["dtype"]) if options["config"]._attn_implementation == "eager" else mask

    before = {name: ALL_MASK_ATTENTION_FUNCTIONS._local_mapping.get(name) for name in _IMPLEMENTATIONS}
    try:
        for name in _IMPLEMENTATIONS:
            ALL_MASK_ATTENTION_FUNCTIONS[name] = build
        yield built
    finally:
        for name, function in before.items():
            if function is None:
                del ALL_MASK_ATTENTION_FUNCTIONS[name]
            else:
                ALL_MASK_ATTENTION_FUNCTIONS[name] = function


def _additive(mask: Bool[Tensor, "*shape"], dtype: torch.dtype) -> Tensor:
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
