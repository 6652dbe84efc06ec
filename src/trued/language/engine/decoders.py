"""Decoding one batch step by step, in the ways in which a family of models allows it.

`Cached` keeps keys and values, pads prompts of different lengths on the left and encodes what they share once.
`Stateful` keeps whatever the model returns for its next call (recurrent states, buckets), and `Whole` keeps nothing and
runs every sequence again for every token; both run prompts of one length together, without padding (`Unpadded`).

Knows token ids and caches. Knows nothing of sampling, of text, or of which way holds for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.language.engine.masks import seeing
from trued.language.engine.prefix import new_cache

SHARED_PREFIX = 8  # a common prefix shorter than this is not worth a forward pass of its own
_KEPT = ("past_key_values", "cache_params", "state", "past_buckets_states", "mems")


@dataclass(frozen=True)
class Decoding:
    """How a family is decoded.

    Attributes:
        keep: "cache" for keys and values, "state" for whatever the model returns for its next call, or "nothing".
        by_position: whether masks are built from positions (windows); else one mask serves all layers.
        shares: whether prompts of one batch may share the encoding of what they begin with.
        together: whether prompts of one length may be continued together where states are kept.
    """

    keep: Literal["cache", "state", "nothing"] = "cache"
    by_position: bool = False
    shares: bool = True
    together: bool = True


@runtime_checkable
class Decoder(Protocol):
    """One batch that is being continued.

    `start` and `step` return the states from which the next token is drawn; `select` keeps some rows, in this order.
    """

    def start(self, prompts: Sequence[Sequence[int]], copies: int, new_tokens: int) -> Float[Tensor, "rows dim"]: ...

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]: ...

    def select(self, rows: Int[Tensor, " rows"]) -> None: ...


def decoder_for(decoding: Decoding, backbone: Any, config: Any, device: torch.device, dtype: torch.dtype) -> Decoder:
    """Return what decodes one batch in this way."""
    if decoding.keep == "cache":
        return Cached(backbone, config, device, dtype, decoding)
    return Unpadded(partial(Stateful if decoding.keep == "state" else Whole, backbone), device, decoding.together)


class Cached:
    """Keys and values in a `GrowingCache`; see `Decoding`."""

    def __init__(
        self, backbone: Any, config: Any, device: torch.device, dtype: torch.dtype, decoding: Decoding
    ) -> None:
        self.backbone, self.config, self.device, self.dtype = backbone, config, device, dtype
        self.by_position, self.shares = decoding.by_position, decoding.shares
        self.cache = new_cache(config)

    def start(self, prompts: Sequence[Sequence[int]], copies: int, new_tokens: int) -> Float[Tensor, "rows dim"]:
        state = self._prefill(prompts)
        if copies > 1:
            rows = torch.arange(len(prompts), device=self.device).repeat_interleave(copies)
            self.select(rows)
            state = state[rows]
        self.columns = self.mask.shape[1]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), new_tokens)], 1)
        return state

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        self.columns += 1
        self.positions = self.positions + 1
        mask = self.mask[:, : self.columns]
        with self._seeing(mask, mask[:, None].bool(), self.positions[:, None]):
            out = self.backbone(
                input_ids=tokens[:, None],
                attention_mask=self._flat(mask) if self.by_position else _additive(mask, self.dtype),
                position_ids=self.positions[:, None],
                past_key_values=self.cache,
                use_cache=True,
            )
        return out.last_hidden_state[:, -1]

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        self.cache.select(rows)
        self.mask, self.positions = self.mask[rows], self.positions[rows]

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> Float[Tensor, "rows dim"]:
        """Encode prompts, left-padded after their common prefix."""
        rows, device = len(prompts), self.device
        shared = common_prefix(prompts) if self.shares and rows > 1 else 0
        shared = shared if shared >= SHARED_PREFIX else 0
        if shared:
            ids = torch.tensor([list(prompts[0][:shared])], device=device)
            self.backbone(input_ids=ids, past_key_values=self.cache, use_cache=True)
            self.cache = self.cache.expand(rows)
        width = max(len(p) for p in prompts) - shared
        ids = torch.tensor([[0] * (width - len(p) + shared) + list(p[shared:]) for p in prompts], device=device)
        mask = torch.tensor([[1] * shared + [0] * (width - len(p) + shared) + [1] * (len(p) - shared) for p in prompts])
        self.mask = mask = mask.to(device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        self.positions = positions[:, -1]
        attention: Tensor | None = mask
        visible: AbstractContextManager[object] = nullcontext()
        if shared or self.by_position:
            causal = torch.ones(width, shared + width, dtype=torch.bool, device=device).tril(shared)
            seen = causal[None] & mask[:, None, :].bool()
            seen |= torch.eye(shared + width, dtype=torch.bool, device=device)[shared:]
            if self.by_position:
                attention, visible = self._flat(mask), self._seeing(mask, seen, positions[:, shared:])
            else:
                attention = torch.zeros(seen.shape, dtype=self.dtype, device=device)
                attention = attention.masked_fill_(~seen, torch.finfo(self.dtype).min)[:, None]
        elif bool(mask.all()):
            attention = None
        with visible:
            out = self.backbone(
                input_ids=ids,
                attention_mask=attention,
                position_ids=positions[:, shared:],
                past_key_values=self.cache,
                use_cache=True,
            )
        return out.last_hidden_state[:, -1]

    def _seeing(self, mask: Tensor, seen: Tensor, queries: Tensor) -> AbstractContextManager[object]:
        if not self.by_position:
            return nullcontext()
        return seeing(seen, queries, (mask.cumsum(1) - 1).clamp(min=0))

    def _flat(self, mask: Tensor) -> Tensor:
        # Chunks are counted from the first column that this mask shows; `seeing` has counted them already.
        return torch.ones_like(mask) if getattr(self.config, "attention_chunk_size", None) else mask


class Unpadded:
    """Prompts of each length by themselves, in step with the others, so that the order of rows is the caller's.

    A row that is not selected stays in its group, unread, since not every state can be cut; a group without rows goes.
    """

    def __init__(self, make: Callable[[], Stateful | Whole], device: torch.device, together: bool) -> None:
        self.make, self.device, self.together = make, device, together

    def start(self, prompts: Sequence[Sequence[int]], copies: int, new_tokens: int) -> Float[Tensor, "rows dim"]:
        del new_tokens
        rows = [list(prompt) for prompt in prompts for _ in range(copies)]
        members: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            members.setdefault(len(row) if self.together else number, []).append(number)
        self.groups = {key: self.make() for key in members}
        self.sizes = {key: len(numbers) for key, numbers in members.items()}
        places = {number: (key, at) for key, numbers in members.items() for at, number in enumerate(numbers)}
        self.places = [places[number] for number in range(len(rows))]
        ids = {key: torch.tensor([rows[n] for n in numbers], device=self.device) for key, numbers in members.items()}
        return self._run(ids)

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        ids = {key: tokens.new_zeros(self.sizes[key], 1) for key in dict(self.places)}
        for (key, at), token in zip(self.places, tokens, strict=True):
            ids[key][at] = token
        return self._run(ids)

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        self.places = [self.places[row] for row in rows.tolist()]

    def _run(self, ids: dict[int, Tensor]) -> Tensor:
        states = {key: self.groups[key].run(new) for key, new in ids.items()}
        return torch.stack([states[key][at] for key, at in self.places])


class Stateful:
    """Whatever the model returns for its next call, under the name that it has there."""

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self.held: dict[str, Any] = {}

    def run(self, ids: Int[Tensor, "rows new"]) -> Float[Tensor, "rows dim"]:
        """Continue all rows by these tokens; return the states of the last ones."""
        out = self.backbone(input_ids=ids, use_cache=True, **self.held)
        self.held = {name: value for name in _KEPT if (value := getattr(out, name, None)) is not None}
        return out.last_hidden_state[:, -1]


class Whole:
    """Nothing kept: every sequence is run again for every token."""

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self.ids: Tensor | None = None

    def run(self, ids: Int[Tensor, "rows new"]) -> Float[Tensor, "rows dim"]:
        """Continue all rows by these tokens; return the states of the last ones."""
        self.ids = ids if self.ids is None else torch.cat([self.ids, ids], 1)
        return self.backbone(input_ids=self.ids, use_cache=False).last_hidden_state[:, -1]


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all prompts begin with, leaving at least one of each for its own pass."""
    shortest = min(len(p) for p in prompts) - 1
    first = prompts[0]
    for index in range(shortest):
        if any(p[index] != first[index] for p in prompts[1:]):
            return index
    return shortest


def _additive(mask: Int[Tensor, "rows columns"], dtype: torch.dtype) -> Float[Tensor, "rows 1 1 columns"]:
    return (1 - mask).to(dtype).mul_(torch.finfo(dtype).min)[:, None, None]
