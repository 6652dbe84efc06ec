"""What is asked of replies, and how their tokens become text: prefills, limits, stop strings.

Knows tokens and text. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trued.errors import InputError


@dataclass(frozen=True)
class ReplyText:
    """Turns the tokens of a reply into text, which ends before the first of the stop strings."""

    tokenizer: Any
    stop: tuple[str, ...] = ()

    def stopped(self, ids: list[int]) -> bool:
        """Whether the last tokens hold a stop string."""
        tail = max(len(s.encode()) for s in self.stop) + 4  # a token is at least a byte, so this many hold a stop
        text = self.tokenizer.decode(ids[-tail:], skip_special_tokens=True)
        return any(s in text for s in self.stop)

    def __call__(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        cut = min((at for s in self.stop if (at := text.find(s)) >= 0), default=len(text))
        return text[:cut]


def one_prefill_each(prefill: str | Sequence[str], prompts: int) -> list[str]:
    """Return one prefill a prompt.

    Raises:
        InputError: their number is not that of the prompts.
    """
    prefills = [prefill] * prompts if isinstance(prefill, str) else list(prefill)
    if len(prefills) != prompts:
        raise InputError(f"{prompts} prompts and {len(prefills)} prefills: one each, or one for all")
    return prefills


def check_sampling(n: int, temperature: float, generator: torch.Generator | None) -> None:
    """Refuse sampling that could not be repeated, and greedy replies that would all be the same.

    Raises:
        InputError: one of the two.
    """
    if temperature > 0 and generator is None:
        raise InputError("sampling needs a torch.Generator, so that the same seed gives the same replies")
    if n > 1 and temperature == 0:
        raise InputError(f"n={n} greedy replies would all be the same: set a temperature")


def check_lengths(rows: Sequence[Sequence[int]], context: int, name: str) -> None:
    """Refuse prompts that leave no room for a reply.

    Raises:
        InputError: a prompt is as long as the context.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) >= context:
            raise InputError(f"prompt {number} is {len(row)} tokens, the context of {name} is {context}")
