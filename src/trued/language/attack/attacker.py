"""The model that writes attacks: a local one or an endpoint, asked until its reply can be read.

Knows prompts, seeds and retries. Knows nothing of what is written or whom it is meant for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.judge.thoughts import answer_of

T = TypeVar("T")


@dataclass(frozen=True)
class Attacker:
    """A model that writes, with how it is sampled (PAIR, arXiv 2310.08419, Section 3: defaults).

    Args:
        model: a `LanguageModel`, a `ChatEndpoint`, or anything with the endpoint's `generate` and a `name`.
        temperature: of its sampling; 0 asks greedily, and then only once.
        top_p: nucleus.
        max_new_tokens: length of what it writes.
        retries: how often a reply that cannot be read is requested again.
    """

    model: Any
    temperature: float = 1.0
    top_p: float = 0.7
    max_new_tokens: int = 500
    retries: int = 20

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1 or self.retries < 0:
            raise InputError(
                f"temperature {self.temperature}, top_p {self.top_p}, max_new_tokens {self.max_new_tokens}, retries "
                f"{self.retries}: the first and last must not be negative, top_p is in (0, 1], a reply has a token"
            )

    @property
    def name(self) -> str:
        return f"{self.model.name}, temperature {self.temperature:g}"

    def write(self, prompts: Sequence[Prompt], *, seed: int) -> list[str]:
        """Return one reply to each prompt, all of them in one call.

        Thoughts are left off, so that nothing is left of one that is cut off.
        """
        if not prompts:
            return []
        options: dict[str, Any] = {
            "max_new_tokens": self.max_new_tokens, "temperature": self.temperature, "top_p": self.top_p
        }  # fmt: skip
        if self.temperature and isinstance(self.model, LanguageModel):
            options["generator"] = torch.Generator(self.model.device).manual_seed(seed)
        elif self.temperature:
            options["seed"] = seed
        return [answer_of(reply) or "" for (reply,) in self.model.generate(prompts, **options)]

    def write_until(
        self, prompts: Sequence[Prompt], read: Callable[[str], T | None], *, seed: int
    ) -> tuple[list[T | None], int]:
        """Ask until every reply can be read, or `retries` is used up; only the unreadable ones are requested again.

        Args:
            prompts: what to ask.
            read: returns what a reply says, or None where it cannot be read.
            seed: of the samples; each round has its own.

        Returns:
            What was read, None where nothing was, and the number of replies that could not be read.
        """
        values: list[T | None] = [None] * len(prompts)
        unreadable = 0
        for attempt in range(self.retries + 1 if self.temperature else 1):
            left = [i for i, value in enumerate(values) if value is None]
            for i, reply in zip(left, self.write([prompts[i] for i in left], seed=seed + attempt), strict=True):
                values[i] = read(reply)
                unreadable += values[i] is None
        return values, unreadable
