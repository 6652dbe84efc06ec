"""Human jailbreak templates: the behaviour wrapped in a frame that people have used (HarmBench, arXiv 2402.04249).

Knows templates and behaviours. Knows nothing of the model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from trued.data.prompts import Template, templates
from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, checked, user_turn


@dataclass(frozen=True)
class Templates:
    """Wrap each behaviour in every template, or in a subset that the seed draws.

    Args:
        count: how many templates to draw; None takes all. All behaviours get the same ones, so that their rates
            compare.
        pool: the templates to draw from; None takes those that come with the package.
    """

    count: int | None = None
    pool: tuple[Template, ...] | None = None

    name: ClassVar[str] = "templates"

    def drawn(self, seed: int, limit: int | None = None) -> list[Template]:
        """Return the templates of this seed, at most `limit`.

        A smaller draw is the beginning of a larger one of the same seed.

        Raises:
            InputError: `count` is not between 1 and the number of templates.
        """
        pool = list(self.pool if self.pool is not None else templates())
        if self.count is not None and not 1 <= self.count <= len(pool):
            raise InputError(
                f"count is {self.count}; there are {len(pool)} templates: give 1 to {len(pool)}, or None for all"
            )
        wanted = min(n for n in (self.count, limit, len(pool)) if n is not None)
        return pool if wanted == len(pool) else random.Random(seed).sample(pool, len(pool))[:wanted]

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return one test case per behaviour and template; `meta["variant"]` is the template's id."""
        frames = self.drawn(seed, limit=budget)
        return [
            TestCase(behavior.id, user_turn(frame.wrap(behavior.prompt)), attack=self.name, meta={"variant": frame.id})
            for behavior in checked(behaviors, budget)
            for frame in frames
        ]
