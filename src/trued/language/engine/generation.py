"""Batched decoding: greedy or sampled, several continuations a prompt, rows leave the batch when they are done.

Batches are filled by tokens, not by rows; the tokens that all prompts of a batch begin with, and each prompt that is
sampled several times, are encoded once; finished rows are dropped from the cache so that late ones run alone.

Knows token ids and caches. Knows nothing of text, except through `stopped`, or of papers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.language.engine.prefix import GrowingCache, keep_rows, new_cache
from trued.learn.categorical import nucleus, sample_categorical

SHARED_PREFIX = 8  # a common prefix shorter than this is not worth a forward pass of its own


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy; `top_p` keeps the smallest nucleus of that probability."""

    temperature: float = 0.0
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def choose(self, logits: Float[Tensor, "rows vocab"]) -> Int[Tensor, " rows"]:
        if self.temperature == 0.0:
            return logits.argmax(-1)
        cool = nucleus(logits.float() / self.temperature, self.top_p)
        drawn_on = logits.device if self.generator is None else self.generator.device  # a CPU generator serves a GPU
        uniforms = torch.rand(len(logits), dtype=torch.float64, generator=self.generator, device=drawn_on)
        return sample_categorical(cool, uniforms=uniforms.to(logits.device))


def plan_batches(lengths: Sequence[int], *, new_tokens: int, copies: int, budget: int) -> list[list[int]]:
    """Group prompts of similar length so that rows times their final length stays within `budget` tokens."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches: list[list[int]] = []
    room = 0
    for index in order:
        if room <= 0:
            batches.append([])
            room = max(1, budget // (copies * (lengths[index] + new_tokens)))
        batches[-1].append(index)
        room -= 1
    return batches


@torch.inference_mode()
def decode(
    backbone: Callable[..., object],
    logits: Callable[[Tensor], Tensor],
    prompts: Sequence[Sequence[int]],
    *,
    config: object,
    device: torch.device,
    dtype: torch.dtype,
    max_new_tokens: int,
    copies: int,
    sampling: Sampling,
    end_ids: frozenset[int],
    stopped: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """Continue one batch of prompts; returns `len(prompts) * copies` lists of ids, copies of a prompt side by side.

    An end token closes its row and is not part of the result. `stopped(ids)` may close a row after any token.
    """
    cache, state, mask, positions = _prefill(backbone, prompts, config=config, device=device, dtype=dtype)
    if copies > 1:
        rows = torch.arange(len(prompts), device=device).repeat_interleave(copies)
        keep_rows(cache, rows)
        state, mask, positions = state[rows], mask[rows], positions[rows]
    columns, own_mask = mask.shape[1], isinstance(cache, GrowingCache)
    mask = torch.cat([mask, mask.new_ones(len(mask), max_new_tokens)], 1)
    replies: list[list[int]] = [[] for _ in range(len(mask))]
    alive = list(range(len(mask)))
    active = [True] * len(alive)
    for step in range(max_new_tokens):
        tokens = sampling.choose(logits(state))
        for slot, token in enumerate(tokens.tolist()):
            if not active[slot]:
                continue
            if token in end_ids:
                active[slot] = False
                continue
            reply = replies[alive[slot]]
            reply.append(token)
            if stopped is not None and stopped(reply):
                active[slot] = False
        if not any(active) or step + 1 == max_new_tokens:
            break
        if sum(active) <= 0.75 * len(active):
            open_slots = torch.tensor([slot for slot, on in enumerate(active) if on], device=device)
            keep_rows(cache, open_slots)
            tokens, mask, positions = tokens[open_slots], mask[open_slots], positions[open_slots]
            alive = [alive[slot] for slot in open_slots.tolist()]
            active = [True] * len(alive)
        columns += 1
        positions = positions + 1
        out = backbone(
            input_ids=tokens[:, None],
            attention_mask=_additive(mask[:, :columns], dtype) if own_mask else mask[:, :columns],
            position_ids=positions[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        state = out.last_hidden_state[:, -1]  # pyright: ignore
    return replies


def _prefill(backbone, prompts, *, config, device, dtype):
    """Encode prompts, left-padded after their common prefix; returns cache, last states, 2D mask, last positions."""
    cache = new_cache(config)
    rows = len(prompts)
    shared = _common_prefix(prompts) if isinstance(cache, GrowingCache) else 0
    if rows == 1 or shared < SHARED_PREFIX:
        shared = 0
    if shared:
        ids = torch.tensor([list(prompts[0][:shared])], device=device)
        backbone(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = cache.expand(rows)  # pyright: ignore
    width = max(len(p) for p in prompts) - shared
    ids = torch.tensor([[0] * (width - len(p) + shared) + list(p[shared:]) for p in prompts], device=device)
    mask = torch.tensor([[1] * shared + [0] * (width - len(p) + shared) + [1] * (len(p) - shared) for p in prompts])
    mask = mask.to(device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    attention: Tensor | None = mask
    if shared:
        causal = torch.ones(width, shared + width, dtype=torch.bool, device=device).tril(shared)
        seen = causal[None] & mask[:, None, :].bool()
        seen |= torch.eye(shared + width, dtype=torch.bool, device=device)[shared:]
        attention = torch.zeros(seen.shape, dtype=dtype, device=device)
        attention = attention.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
    elif bool(mask.all()):
        attention = None
    out = backbone(
        input_ids=ids,
        attention_mask=attention,
        position_ids=positions[:, shared:],
        past_key_values=cache,
        use_cache=True,
    )
    return cache, out.last_hidden_state[:, -1], mask, positions[:, -1]


def _additive(mask: Int[Tensor, "rows columns"], dtype: torch.dtype) -> Float[Tensor, "rows 1 1 columns"]:
    return (1 - mask).to(dtype).mul_(torch.finfo(dtype).min)[:, None, None]


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all prompts begin with, leaving at least one of each for its own pass."""
    shortest = min(len(p) for p in prompts) - 1
    first = prompts[0]
    for index in range(shortest):
        if any(p[index] != first[index] for p in prompts[1:]):
            return index
    return shortest
