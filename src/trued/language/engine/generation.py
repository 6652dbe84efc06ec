"""Batched decoding: greedy or sampled, several continuations a prompt, rows leave the batch when they are done.

Batches are filled by tokens, not by rows; the tokens that all prompts of a batch begin with, and each prompt that is
sampled several times, are encoded once; finished rows are dropped so that late ones run alone. What a family does not
allow of this, its `Decoder` leaves out.

Knows token ids and decoders. Knows nothing of text, except through `stopped`, or of papers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.language.engine.decoders import SHARED_PREFIX, Decoder
from trued.learn.categorical import nucleus, sample_categorical

__all__ = ["SHARED_PREFIX", "Limits", "Sampling", "decode", "plan_batches"]


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


@dataclass(frozen=True)
class Limits:
    """What may be decoded together, and when a row ends.

    Attributes:
        new_tokens: the most tokens of a reply.
        end_ids: tokens that close a row; they are not part of the reply.
        stopped: may close a row after any token, by the reply's ids.
        switch: the length up to which positions are encoded in one way and beyond which in another, for all tokens of
            a sequence; None for families that know one way only.
    """

    new_tokens: int
    end_ids: frozenset[int]
    stopped: Callable[[list[int]], bool] | None = None
    switch: int | None = None


@torch.inference_mode()
def decode(
    start: Callable[[], Decoder],
    logits: Callable[[Tensor], Tensor],
    prompts: Sequence[Sequence[int]],
    *,
    copies: int,
    sampling: Sampling,
    limits: Limits,
) -> list[list[int]]:
    """Continue prompts; returns `len(prompts) * copies` lists of ids, copies of a prompt side by side.

    Args:
        start: makes the decoder of one batch.
        logits: of the states that a decoder returns.
        prompts: token ids.
        copies: replies to each prompt.
        sampling: how tokens are chosen.
        limits: what is decoded together, and when a row ends.
    """
    replies: list[list[int]] = [[] for _ in range(len(prompts) * copies)]
    due = [_Due(list(prompt), range(row * copies, (row + 1) * copies)) for row, prompt in enumerate(prompts)]
    while due:
        later: list[_Due] = []
        for batch in _together(due, limits):
            longest = max(len(row.ids) for row in batch)
            new_tokens = limits.new_tokens - max(len(replies[row.places[0]]) for row in batch)
            if limits.switch is not None and longest <= limits.switch:
                new_tokens = min(new_tokens, limits.switch - longest + 1)
            closed = _continue(start(), logits, batch, replies, sampling, limits, new_tokens)
            for row in batch:
                for place in row.places:
                    if place not in closed and len(replies[place]) < limits.new_tokens:
                        later.append(_Due([*prompts[place // copies], *replies[place]], range(place, place + 1)))
        due = later
    return replies


@dataclass(frozen=True)
class _Due:
    """A sequence to continue, and the places among the replies where its continuations stand; equally many in all."""

    ids: list[int]
    places: range


def _together(due: Sequence[_Due], limits: Limits) -> list[list[_Due]]:
    """Cut what is due into batches that may be decoded together."""
    if limits.switch is None:
        return [list(due)]
    short = [row for row in due if len(row.ids) <= limits.switch]
    long = [row for row in due if len(row.ids) > limits.switch]
    return [batch for batch in (short, long) if batch]


def _continue(
    decoder: Decoder,
    logits: Callable[[Tensor], Tensor],
    batch: Sequence[_Due],
    replies: list[list[int]],
    sampling: Sampling,
    limits: Limits,
    new_tokens: int,
) -> set[int]:
    """Add up to `new_tokens` to the replies of one batch; return the places of those that are closed."""
    state = decoder.start([row.ids for row in batch], len(batch[0].places), new_tokens)
    alive = [place for row in batch for place in row.places]
    active = [True] * len(alive)
    closed: set[int] = set()
    for step in range(new_tokens):
        tokens = sampling.choose(logits(state))
        for slot, token in enumerate(tokens.tolist()):
            if not active[slot]:
                continue
            reply = replies[alive[slot]]
            if token not in limits.end_ids:
                reply.append(token)
            if token in limits.end_ids or (limits.stopped is not None and limits.stopped(reply)):
                active[slot] = False
                closed.add(alive[slot])
        if not any(active) or step + 1 == new_tokens:
            break
        if sum(active) <= 0.75 * len(active):
            open_slots = torch.tensor([slot for slot, on in enumerate(active) if on], device=state.device)
            decoder.select(open_slots)
            tokens = tokens[open_slots]
            alive = [alive[slot] for slot in open_slots.tolist()]
            active = [True] * len(alive)
        state = decoder.step(tokens)
    return closed
