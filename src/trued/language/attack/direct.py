"""Direct requests: the behaviour itself, in the user's words (HarmBench, arXiv 2402.04249).

Knows behaviours. Knows nothing of the model. It is the baseline that every other attack is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from trued.language.attack.contract import Behavior, ChatTarget, TestCase, checked, user_turn


@dataclass(frozen=True)
class Direct:
    """Ask for the behaviour, nothing more."""

    name: ClassVar[str] = "direct"

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return one test case per behaviour. Neither `target` nor `seed` plays a part."""
        return [
            TestCase(behavior.id, user_turn(behavior.prompt), attack=self.name)
            for behavior in checked(behaviors, budget)
        ]
