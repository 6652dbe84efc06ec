"""Supervised fine-tuning on replies, with what all prompts of a batch begin with encoded once.

The prompts of one task share their system prompt and instruction, often most of their tokens. A batch is therefore one
row: the shared beginning, then each rest of a prompt with its reply, side by side under a block mask (see
`trued.language.engine.scoring`). The gradient is that of separate rows.

Knows token ids and weights. Knows nothing of what is taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trued.data.prompts import ReplyRow
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows, token_logprobs


@dataclass(frozen=True)
class Encoded:
    """A row in token ids."""

    prompt: list[int]
    reply: list[int]
    weight: float


@dataclass(frozen=True)
class ReplyBatch:
    """One batch: its rows laid out, which of their scored tokens are reply, and the weight of each of these."""

    rows: Rows
    is_reply: Bool[Tensor, " scored"]
    weights: Float[Tensor, " replied"]


def encode(lm: LanguageModel, rows: Sequence[ReplyRow]) -> list[Encoded]:
    """Return the rows in token ids, the end of turn included, so that a reply's end is learned too.

    Raises:
        InputError: no rows, an empty reply, a weight that is not positive, or a row longer than the context.
    """
    if not rows:
        raise InputError("there is nothing to train on: give at least one prompt with its reply")
    encoded = []
    for number, row in enumerate(rows, start=1):
        if not row.reply.strip() or not row.weight > 0:
            raise InputError(
                f"row {number}: the reply is {row.reply!r} and its weight {row.weight:g}; a row needs a reply with "
                "text and a positive weight"
            )
        example = Encoded(lm.prompt_ids(row.prompt), lm.reply_ids(row.reply), row.weight)
        length = len(example.prompt) + len(example.reply)
        if length > lm.context:
            raise InputError(
                f"row {number}: prompt and reply are {length} tokens and the context of "
                f"{lm.name} holds {lm.context}: shorten the row or drop it"
            )
        encoded.append(example)
    return encoded


def collate(lm: LanguageModel, examples: Sequence[Encoded]) -> ReplyBatch:
    """Lay out one batch around what its prompts have in common."""
    prompts = [example.prompt for example in examples]
    shared = _beginning(prompts)
    if not shared:
        rows = lm.rows(prompts, [[example.reply] for example in examples])
        rests = [0] * len(examples)
    else:
        rows = lm.rows([prompts[0][:shared]], [[example.prompt[shared:] + example.reply for example in examples]])
        rests = [len(prompt) - shared for prompt in prompts]
    is_reply = [
        k >= rest for example, rest in zip(examples, rests, strict=True) for k in range(rest + len(example.reply))
    ]
    weights = [example.weight for example in examples for _ in example.reply]
    return ReplyBatch(
        rows, torch.tensor(is_reply, device=lm.device), torch.tensor(weights, dtype=torch.float32, device=lm.device)
    )


def reply_loss(lm: LanguageModel, batch: ReplyBatch) -> dict[str, Tensor | float | int]:
    """Mean negative log-likelihood of the reply tokens, each as often as its row counts.

    Returns:
        "loss"; "weight", the tokens that it is the mean over; "tokens", those computed.
    """
    states = lm.states(batch.rows)[batch.is_reply]
    logprobs = token_logprobs(states, batch.rows.targets[batch.is_reply], lm.head, lm.config)
    total = float(batch.weights.sum())
    return {"loss": -(batch.weights * logprobs).sum() / total, "weight": total, "tokens": batch.rows.tokens}


def _beginning(prompts: Sequence[list[int]]) -> int:
    """Return how many tokens all prompts begin with: the first and the last in order differ earliest."""
    low, high = min(prompts), max(prompts)
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
