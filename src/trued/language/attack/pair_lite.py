"""PAIRLite: PAIR's loop with a grammar of rewrites in place of the attacker model; an offline stand-in, not PAIR.

Knows rewrites, a scorer and a target that answers. Knows nothing of gradients.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, checked, generator_for
from trued.language.attack.pair import Search, answered, share_time
from trued.language.attack.rewrites import Rewrite
from trued.language.attack.scorer import BROKEN, LabelScorer, Scorer, checked_cutoff


@dataclass
class _Climb:
    """One stream: the rewrite it stands on, and the score of that."""

    search: Search
    rng: random.Random
    held: Rewrite
    score: float = 0.0


@dataclass(frozen=True)
class PAIRLite:
    """Hill climbing over rewrites of the request, in several streams, guided by a scorer.

    Args:
        scorer: scores replies from 1 to 10; not the judge that success is counted by.
        streams: independent climbs a behaviour; the first starts from the plain request, the others anywhere.
        steps: rewrites that each stream tries.
        cutoff: stop once a reply scores this much.
        reply_tokens: length of the target's replies that are scored.
    """

    scorer: Scorer = field(default_factory=LabelScorer)
    streams: int = 4
    steps: int = 5
    cutoff: float = BROKEN
    reply_tokens: int = 40

    name: ClassVar[str] = "pair-lite"
    together: ClassVar[int] = 32

    def __post_init__(self) -> None:
        for name in ("streams", "steps", "reply_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give at least 1")
        checked_cutoff(self.cutoff)

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return the highest-scored rewrite of every behaviour, all streams asked together; `meta` as PAIR's.

        A stream moves to a neighbour that scores no less than where it stands.
        """
        short_target = replace(target, max_new_tokens=self.reply_tokens)
        streams = self.streams if budget is None else min(self.streams, budget)
        steps = self.steps if budget is None else max(1, min(self.steps, budget // streams))
        searches = [Search(behavior) for behavior in checked(behaviors, budget)]
        climbs = [self._climb(search, seed, stream) for search in searches for stream in range(streams)]
        for step in range(steps):
            started = time.perf_counter()
            tried = [climb.held if step == 0 else climb.held.neighbour(climb.rng) for climb in climbs]
            prompts = [
                (climb.search, rewrite.render(climb.search.behavior.prompt))
                for climb, rewrite in zip(climbs, tried, strict=True)
            ]
            results = answered(short_target, self.scorer, prompts)
            for climb, rewrite, (_, prompt), (reply, score) in zip(climbs, tried, prompts, results, strict=True):
                climb.search.note(prompt, reply, score, self.cutoff)
                if score >= climb.score:
                    climb.held, climb.score = rewrite, score
            share_time([climb.search for climb in climbs], started)
            climbs = [climb for climb in climbs if climb.search.solved_after is None]
            if not climbs:
                break
        return [search.case(self.name) for search in searches]

    @staticmethod
    def _climb(search: Search, seed: int, stream: int) -> _Climb:
        rng = random.Random(f"{generator_for(seed, search.behavior).initial_seed()}:{stream}")
        return _Climb(search, rng, Rewrite() if stream == 0 else Rewrite.random(rng))
