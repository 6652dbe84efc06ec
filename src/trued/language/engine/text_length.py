"""How long a text a model of transformers takes."""

from __future__ import annotations

from typing import Any

UNBOUNDED = 1 << 20  # tokenizers that know no limit state one of 10^30


def longest_text(model: Any, tokenizer: Any = None) -> int:
    """Return how many tokens a model takes, its special ones included.

    RoBERTa and its kin number positions from behind the padding id on: they have fewer than their configuration says.

    Args:
        model: of transformers.
        tokenizer: its own, whose limit holds too if it states one.
    """
    stated = getattr(model.config, "max_position_embeddings", None)
    limit = int(stated) if stated else UNBOUNDED
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)  # of an embedding, of whichever class
        if name.endswith("position_embeddings") and padding is not None:
            limit = min(limit, len(module.weight) - padding - 1)  # pyright: ignore
    return min(limit, int(getattr(tokenizer, "model_max_length", UNBOUNDED) or UNBOUNDED))
