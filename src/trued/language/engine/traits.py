"""What a model's configuration says of how its layers look back: states, windows, spans, positions.

Knows transformers' configurations and caches. Knows nothing of weights, or of what the engine makes of it.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn
from transformers.cache_utils import DummyLayer, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer


def attends_only(base: Any, config: Any) -> bool:
    """Whether every layer looks back through keys and values alone: no recurrent state, no convolution, no index."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if getattr(base, "_is_stateful", False) or not kinds <= {
        "full_attention",
        "sliding_attention",
        "chunked_attention",
    }:
        return False
    if any(isinstance(module, nn.Conv1d) for module in base.modules()):
        return False
    try:
        layers = DynamicCache(config=config).layers
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer, DummyLayer}


def windowed(config: Any) -> bool:
    """Whether some layer sees a window or a chunk of positions only."""
    kinds = getattr(config, "layer_types", None)
    if kinds and set(kinds) & {"sliding_attention", "chunked_attention"}:
        return True
    return any(getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))


def column_span(config: Any) -> int | None:
    """Return how many columns a row may have before a span shows that transformers' masks know nothing of, if any.

    Such a span, such as GPT-Neo's window, may be counted in columns, and a few tokens cannot show it.
    """
    known = re.compile(r"sliding_window|max_window|attention_chunk_size|chunk_size_feed_forward|window_pattern")
    span = re.compile(r"window|chunk|local_attn|block_size|block_length|stride|compress|bucket|floor_scale")
    named = {name: value for name, value in vars(config).items() if span.search(name) and not known.search(name)}
    return min((value for value in named.values() if type(value) is int and value > 1), default=None)


def rope_switch(config: Any) -> int | None:
    """Return the length beyond which all positions of a sequence are encoded in another way (LongRoPE), if any."""
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    for rope in (given, *(value for value in given.values() if isinstance(value, dict))):
        if rope.get("rope_type", rope.get("type")) == "longrope":
            length = rope.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            return int(length) if length else None
    return None
