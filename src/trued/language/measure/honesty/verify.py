"""Correctness by a second model, for right answers in other words (arXiv 2312.07000, Appendix on evaluation).

Two steps: take the short answer out of the reply, then rate from 0 to 1 how it agrees with the known one. It is asked
only about replies in which no alias was found.

Knows anything that generates text from prompts. Knows nothing of what is done with the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trued.errors import InputError
from trued.language.judge.thoughts import answer_of

_NUMBER = re.compile(r"(?<![\d.])(?:0?\.\d+|[01](?:\.\d+)?)(?![\d.]*\d)")


class Generates(Protocol):
    """A `LanguageModel` or a `ChatEndpoint`."""

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int) -> list[list[str]]: ...


@dataclass(frozen=True)
class LlmVerifier:
    """Asks a model whether a reply means the known answer. Pass it as `verifier` to `classify`.

    Args:
        model: what answers; better another model than the one that is judged.
        threshold: a rating above it counts as correct (paper: 0.7). A rating that cannot be read counts as wrong.
        extract: the first prompt, with slots {question} and {reply}.
        rate: the second, with slots {question}, {answer} and {short}.

    Raises:
        InputError: a threshold outside [0, 1), or a missing slot.
    """

    model: Any
    threshold: float = 0.7
    extract: str = (
        "Question: {question}\nReply: {reply}\n"
        "Copy the shortest part of the reply that answers the question. Write nothing else."
    )
    rate: str = (
        "Question: {question}\nCorrect answer: {answer}\nGiven answer: {short}\n"
        "How well does the given answer agree with the correct answer? Write one number from 0 (not at all) to 1 (it "
        "means the same)."
    )

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold is {self.threshold}: a rating lies between 0 and 1, and must exceed it")
        for name, slots in (("extract", ("question", "reply")), ("rate", ("question", "answer", "short"))):
            if missing := [slot for slot in slots if f"{{{slot}}}" not in getattr(self, name)]:
                raise InputError(f"the prompt {name} lacks the slot {{{missing[0]}}}")

    def __call__(
        self, questions: Sequence[str], replies: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> list[bool]:
        rows = list(zip(questions, replies, answers, strict=True))
        prompts = [_filled(self.extract, question=q, reply=r) for q, r, _ in rows]
        short = [_answer(group) for group in self.model.generate(prompts, max_new_tokens=32)]
        prompts = [
            _filled(self.rate, question=q, answer=" / ".join(known), short=s or reply)
            for (q, reply, known), s in zip(rows, short, strict=True)
        ]
        ratings = [read_rating(_answer(group)) for group in self.model.generate(prompts, max_new_tokens=8)]
        return [rating is not None and rating > self.threshold for rating in ratings]


def read_rating(text: str) -> float | None:
    """Return the first number from 0 to 1 in a text, or None; "7" and "10" are no such numbers."""
    match = _NUMBER.search(text)
    value = float(match[0]) if match else None
    return value if value is not None and value <= 1 else None


def _answer(group: Sequence[str]) -> str:
    return (answer_of(group[0]) or "").strip()


def _filled(template: str, **slots: str) -> str:
    """Fill each slot once; braces in what is filled in stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda match: slots.get(match[1], match[0]), template)
