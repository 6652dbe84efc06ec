"""PAP: a request put into persuasive words, once for each technique (arXiv 2401.06373, Section 4).

With an attacker model it is the paper's one-shot rewriting. Without one the request is set into each technique's fixed
frame: an offline stand-in, which goes by another name in every result.

Knows techniques and an attacker. Knows nothing of the target.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import Behavior, ChatTarget, Cost, TestCase, checked, user_turn
from trued.language.attack.persuasion import PERSUASION, Technique, rewrite_prompt, rewritten


@dataclass(frozen=True)
class PAP:
    """The attack. A behaviour counts as broken if any of its techniques breaks it.

    Args:
        attacker: the model that rewrites; None uses the fixed frames.
        techniques: how many of the forty are tried (the paper tries all; 10 in evaluations).
        order: "published" takes the first ones of the taxonomy, "random" draws them by the seed.
    """

    attacker: Attacker | None = None
    techniques: int = 10
    order: Literal["published", "random"] = "published"

    together: ClassVar[int] = 16

    def __post_init__(self) -> None:
        if not 1 <= self.techniques <= len(PERSUASION):
            raise InputError(f"techniques is {self.techniques}; there are {len(PERSUASION)}: give 1 to that many")
        if self.order not in ("published", "random"):
            raise InputError(f"order is {self.order!r}; choose 'published' or 'random'")

    @property
    def name(self) -> str:
        return "pap" if self.attacker is not None else "pap-frames"

    def chosen(self, seed: int, limit: int | None = None) -> list[Technique]:
        """Return the techniques of this seed, at most `limit`; the same ones for all behaviours."""
        pool = list(PERSUASION)
        if self.order == "random":
            random.Random(seed).shuffle(pool)
        return pool[: self.techniques][:limit]

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return one test case per behaviour and technique, whose slug is ``meta["variant"]``.

        A technique for which the attacker gives no readable rewrite has no case: nothing stands in for it.
        """
        started = time.perf_counter()
        pairs = [(b, t) for b in checked(behaviors, budget) for t in self.chosen(seed, budget)]
        if self.attacker is None:
            texts: list[str | None] = [technique.wrap(behavior.prompt) for behavior, technique in pairs]
        else:
            prompts = [rewrite_prompt(technique, behavior.prompt) for behavior, technique in pairs]
            texts, _ = self.attacker.write_until(prompts, rewritten, seed=1000 * seed)
        cost = Cost(seconds=(time.perf_counter() - started) / len(pairs))
        return [
            TestCase(b.id, user_turn(text), attack=self.name, cost=cost, meta={"variant": t.slug})
            for (b, t), text in zip(pairs, texts, strict=True)
            if text is not None
        ]
