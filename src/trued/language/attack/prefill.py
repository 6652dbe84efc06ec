"""Prefilling: the assistant's turn is made to start with the first words of a complying reply (cf. arXiv 2404.02151).

Knows token counts and chat templates. Knows nothing of gradients. It needs write access to the assistant's turn, as
anyone has who runs open weights, and some who call an API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from trued.errors import InputError
from trued.language.attack.contract import AFFIRMATIVE, Behavior, ChatTarget, TestCase, checked, user_turn


@dataclass(frozen=True)
class Prefill:
    """Start the reply with the first n tokens of the target, for each n.

    Args:
        lengths: the values of n, one test case each.
        target: the complying opening for behaviours that bring none of their own.
    """

    lengths: tuple[int, ...] = (1, 2, 3, 4, 5)
    target: str = AFFIRMATIVE + " a step-by-step guide:"

    name: ClassVar[str] = "prefill"

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise InputError(f"lengths is {self.lengths}; give one or more token counts of at least 1, e.g. (1, 2, 3)")

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return one test case per behaviour and n, shortest first; `meta["variant"]` is ``"n=<n>"``.

        Raises:
            InputError: a target has fewer tokens than n, or the chat template cannot continue an assistant's turn.
        """
        lengths = sorted(set(self.lengths))[:budget]
        if not target.model.format.continues_replies():
            raise InputError(
                f"the chat template of {target.model.name} cannot continue an assistant's turn: it sets something else "
                "between the opened turn and the reply's text; leave the prefill attack out for this model"
            )
        return [
            TestCase(
                behavior.id, user_turn(behavior.prompt), prefill=start, attack=self.name, meta={"variant": f"n={n}"}
            )
            for behavior in checked(behaviors, budget)
            for n, start in zip(lengths, self._starts(behavior, target, lengths), strict=True)
        ]

    def _starts(self, behavior: Behavior, target: ChatTarget, lengths: Sequence[int]) -> list[str]:
        text = behavior.target or self.target
        ids = target.model.reply_ids(text, end=False)
        if len(ids) < lengths[-1]:
            raise InputError(
                f"behaviour {behavior.id!r}: the target {text!r} has {len(ids)} tokens, and a prefill of {lengths[-1]} "
                "was requested; give a longer target or smaller lengths"
            )
        return [target.model.tokenizer.decode(ids[:n]) for n in lengths]
