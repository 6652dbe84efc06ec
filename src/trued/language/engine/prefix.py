"""Key/value caches that are encoded once, expanded, cropped and extended without copying what they hold.

`GrowingCache` reserves room ahead, so a decoding step writes one column instead of copying the whole cache, which is
what `torch.cat` in transformers' dynamic cache does (at 64 rows of 100 tokens that copy outweighs the model's weights).

Knows tensors and transformers' cache protocol. Knows nothing of tokens or text.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """One layer's keys and values in a buffer that doubles when full; `keys` and `values` are views of it."""

    def __init__(self, reserve: int = 64) -> None:
        super().__init__()
        self.reserve = reserve
        self._buffer: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._buffer is None or end > self._buffer[0].shape[-2] or self._buffer[0].shape[0] != key_states.shape[0]:
            self._grow(key_states, value_states, start, max(end + self.reserve, start * 3 // 2))
        assert self._buffer is not None
        keys, values = self._buffer
        keys[..., start:end, :] = key_states
        values[..., start:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def _grow(self, keys: Tensor, values: Tensor, filled: int, room: int) -> None:
        buffers = []
        for new, old in ((keys, self.keys), (values, self.values)):
            buffer = new.new_empty((*new.shape[:-2], room, new.shape[-1]))
            if old is not None and filled:
                buffer[..., :filled, :] = old  # an expanded (stride 0) prefix is written out here, once
            buffers.append(buffer)
        self._buffer = (buffers[0], buffers[1])

    def select(self, rows: Tensor) -> None:
        """Keep these batch rows, in this order, repeats allowed."""
        if self.keys is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]  # pyright: ignore
            self._buffer = None


class GrowingCache(Cache):
    """A cache for decoders whose layers all attend; see `GrowingLayer`."""

    def __init__(self, layers: int, reserve: int = 64) -> None:
        super().__init__(layers=[GrowingLayer(reserve) for _ in range(layers)])

    def select(self, rows: Tensor) -> None:
        """Keep these batch rows in all layers, in this order, repeats allowed."""
        for layer in self.layers:
            layer.select(rows)  # pyright: ignore

    def expand(self, batch: int) -> GrowingCache:
        """Return a cache of `batch` rows that share this one's single row without copying it.

        Appending to the result leaves this cache as it is: the shared part is written out on the first append.

        Raises:
            ValueError: this cache holds more than one row.
        """
        result = GrowingCache(0)
        layers: list[Any] = self.layers
        for layer in layers:
            twin = GrowingLayer(layer.reserve)
            if layer.keys is not None:
                if layer.keys.shape[0] != 1:
                    raise ValueError(f"only a cache of one row can be expanded, this one has {layer.keys.shape[0]}")
                twin.lazy_initialization(layer.keys, layer.values)
                twin.keys = layer.keys.expand(batch, *layer.keys.shape[1:])
                twin.values = layer.values.expand(batch, *layer.values.shape[1:])
            result.layers.append(twin)
        return result


def new_cache(config: Any, reserve: int = 64) -> GrowingCache:
    """Return an empty `GrowingCache` with a layer for each that transformers' own cache would have.

    It keeps all keys and values, of sliding layers too: what a query may look at is the mask's business, and so a
    prefix can be cropped and extended beyond a window.
    """
    from transformers import DynamicCache

    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    return GrowingCache(len(DynamicCache(config=text).layers) or text.num_hidden_layers, reserve)
