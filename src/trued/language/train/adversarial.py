"""Batches for adversarial training: attacked prompts with two replies, mixed with plain utility rows.

Knows rows of data and token ids. Knows nothing of losses or attacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from trued.data.messages import Prompt
from trued.data.prompts import AdversarialRow
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows


@dataclass(frozen=True)
class Pair:
    """One adversarial example in token ids: a prompt, the harmful-affirmative target and the safe reply.

    `reference` holds the base model's windowed mean log-probabilities of (safe, target), set by its own index.
    """

    prompt: list[int]
    target: list[int]
    safe: list[int]
    reference: tuple[float, float] | None = None


@dataclass(frozen=True)
class UtilityRow:
    """A prompt and a reply to keep; `complete` says that the reply ended by itself, so that its end is learned too."""

    prompt: Prompt
    reply: str
    complete: bool = True


@dataclass(frozen=True)
class Chat:
    """One utility example in token ids."""

    prompt: list[int]
    reply: list[int]


Example = Pair | Chat


@dataclass(frozen=True)
class AdversarialBatch:
    """One batch; either part may be absent, and its loss terms are then zero.

    `attack` holds prompt and target, `pairs` prompt, safe reply and target in one row each (in that order), `chats`
    the utility rows.
    """

    attack: Rows | None
    pairs: Rows | None
    chats: Rows | None
    references: torch.Tensor | None
    rows: int
    tokens: int = field(default=0)


def encode_pairs(lm: LanguageModel, rows: Sequence[AdversarialRow], *, max_length: int | None = None) -> list[Pair]:
    """Every target of a row becomes an example of its own; longer ones than `max_length` tokens are cut at the end.

    Raises:
        InputError: no rows, or a prompt that leaves no room for the reply.
    """
    if not rows:
        raise InputError("there are no adversarial rows: give at least one {prompt, targets, safe_reply}")
    pairs = []
    for number, row in enumerate(rows, start=1):
        prompt = lm.prompt_ids(row.prompt)
        for target in row.targets:
            affirmative = _cut(prompt, lm.reply_ids(target, end=False), max_length, number)
            safe = _cut(prompt, lm.reply_ids(row.safe_reply), max_length, number)
            pairs.append(Pair(prompt, affirmative, safe))
    return pairs


def encode_chats(lm: LanguageModel, rows: Sequence[UtilityRow], *, max_length: int | None = None) -> list[Chat]:
    """Utility rows in token ids, cut at the end to `max_length` tokens."""
    chats = []
    for number, row in enumerate(rows, start=1):
        ids = lm.prompt_ids(row.prompt)
        chats.append(Chat(ids, _cut(ids, lm.reply_ids(row.reply, end=row.complete), max_length, number)))
    return chats


def own_replies(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[UtilityRow]:
    """The model's own greedy replies to benign prompts, as utility rows; empty ones are left out."""
    rows = []
    replies = lm.generate(prompts, max_new_tokens=max_new_tokens, progress=progress)
    for prompt, (reply,) in zip(prompts, replies, strict=True):
        if reply.strip():
            rows.append(UtilityRow(prompt, reply, len(lm.reply_ids(reply, end=False)) < max_new_tokens))
    return rows


def _cut(prompt: list[int], reply: list[int], max_length: int | None, number: int) -> list[int]:
    room = len(reply) if max_length is None else max_length - len(prompt)
    if room < 1 or not reply:
        raise InputError(
            f"row {number}: the prompt is {len(prompt)} tokens and leaves no room for a reply within {max_length}"
        )
    return reply[:room]


def interleave(
    pairs: Sequence[Pair], chats: Sequence[Chat], probability: float, generator: torch.Generator
) -> list[Example]:
    """Draw the next example from `pairs` with `probability`, else from `chats`, until one of them is exhausted.

    Upstream's mixing of data sets ("first exhausted stops"). Each part is shuffled first.

    Raises:
        InputError: a probability outside (0, 1], or below 1 without utility rows.
    """
    if not 0 < probability <= 1:
        raise InputError(f"the share of adversarial rows is {probability}: it lies above 0 and at most at 1")
    if probability < 1 and not chats:
        raise InputError(f"an adversarial share of {probability} needs utility rows: give some, or set the share to 1")
    left: list[list[Example]] = [
        [part[i] for i in torch.randperm(len(part), generator=generator).tolist()] for part in (chats, pairs)
    ]
    if probability == 1:
        return left[1]
    mixed: list[Example] = []
    while True:
        part = left[int(torch.rand((), generator=generator) < probability)]
        if not part:
            return mixed
        mixed.append(part.pop())


def collate(lm: LanguageModel, examples: Sequence[Example]) -> AdversarialBatch:
    """Lay out one batch for the attack and the losses."""
    pairs = [e for e in examples if isinstance(e, Pair)]
    chats = [e for e in examples if isinstance(e, Chat)]
    prompts = [p.prompt for p in pairs]
    attack = lm.rows(prompts, [[p.target] for p in pairs]) if pairs else None
    both = lm.rows(prompts, [[p.safe, p.target] for p in pairs]) if pairs else None
    plain = lm.rows([c.prompt for c in chats], [[c.reply] for c in chats]) if chats else None
    references = None
    if pairs and all(p.reference is not None for p in pairs):
        references = torch.tensor([p.reference for p in pairs], device=lm.device)
    tokens = sum(rows.tokens for rows in (both, plain) if rows is not None)
    return AdversarialBatch(attack, both, plain, references, len(examples), tokens)
