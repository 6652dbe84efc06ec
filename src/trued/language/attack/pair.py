"""PAIR: an attacker model improves its prompt from the target's replies and their scores (arXiv 2310.08419, Section 3).

Knows an attacker, a scorer and a target that answers. Knows nothing of gradients, and of the target's weights either.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from trued.data.messages import Message
from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import AFFIRMATIVE, Behavior, ChatTarget, Cost, TestCase, checked, user_turn
from trued.language.attack.refine import continued, opening, read_proposal
from trued.language.attack.scorer import BROKEN, LabelScorer, Scorer, checked_cutoff


@dataclass
class Search:
    """What is known of one behaviour while it is attacked: the best prompt so far, its score, and what it took."""

    behavior: Behavior
    best: str = ""
    score: float = 0.0
    reply: str = ""
    cost: Cost = field(default_factory=Cost)
    solved_after: int | None = None
    unreadable: int = 0
    scores: list[float] = field(default_factory=list)

    def note(self, prompt: str, reply: str, score: float, cutoff: float) -> None:
        """Count one query and keep the prompt if it scored highest; of equals the first."""
        self.cost += Cost(queries=1)
        self.scores.append(score)
        if score > self.score:
            self.best, self.score, self.reply = prompt, score, reply
        if score >= cutoff and self.solved_after is None:
            self.solved_after = self.cost.queries

    def case(self, attack: str) -> TestCase:
        """Return the best prompt as a test case; the plain request if no prompt was ever scored."""
        meta = {
            "score": self.score,
            "scores": self.scores,
            "queries_to_success": self.solved_after,
            "unreadable": self.unreadable,
        }
        turns = user_turn(self.best or self.behavior.prompt)
        return TestCase(self.behavior.id, turns, attack=attack, cost=self.cost, meta=meta)


@dataclass(frozen=True)
class PAIR:
    """The attack, with the paper's defaults.

    Args:
        attacker: the model that writes the prompts.
        scorer: scores replies from 1 to 10; not the judge that success is counted by.
        streams: independent conversations with the attacker a behaviour (paper: 20).
        steps: rounds of each (paper: 3).
        keep_last: rounds that the attacker still sees.
        cutoff: stop once a reply scores this much (paper: 10; 7 for a weaker judge).
        reply_tokens: length of the target's replies that are scored.
        target: what the attacker is told that the reply should begin with, for behaviours without a target.
    """

    attacker: Attacker
    scorer: Scorer = field(default_factory=LabelScorer)
    streams: int = 20
    steps: int = 3
    keep_last: int = 3
    cutoff: float = BROKEN
    reply_tokens: int = 150
    target: str = AFFIRMATIVE

    name: ClassVar[str] = "pair"
    together: ClassVar[int] = 16

    def __post_init__(self) -> None:
        for name in ("streams", "steps", "keep_last", "reply_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give at least 1")
        checked_cutoff(self.cutoff)

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return the highest-scored prompt of every behaviour. The streams of all behaviours are asked together.

        `meta` has its score, all scores, the query that first reached the cutoff, and how many of the attacker's
        replies held no prompt.
        """
        streams = self.streams if budget is None else min(self.streams, budget)
        steps = self.steps if budget is None else max(1, min(self.steps, budget // streams))
        short_target = replace(target, max_new_tokens=self.reply_tokens)
        searches = [Search(behavior) for behavior in checked(behaviors, budget)]
        open_: list[tuple[Search, list[Message]]] = [
            (search, opening(search.behavior, search.behavior.target or self.target))
            for search in searches
            for _ in range(streams)
        ]
        for step in range(steps):
            started = time.perf_counter()
            proposals, _ = self.attacker.write_until(
                [history for _, history in open_], read_proposal, seed=1000 * seed + 100 * step
            )
            read = [(search, p.prompt) for (search, _), p in zip(open_, proposals, strict=True) if p is not None]
            results = iter(answered(short_target, self.scorer, read))
            following = []
            for (search, history), proposal in zip(open_, proposals, strict=True):
                if proposal is None:
                    search.unreadable += 1
                else:
                    reply, score = next(results)
                    search.note(proposal.prompt, reply, score, self.cutoff)
                    history = continued(history, proposal, reply, score, search.behavior, self.keep_last)
                following.append((search, history))
            share_time([search for search, _ in open_], started)
            open_ = [(search, history) for search, history in following if search.solved_after is None]
            if not open_:
                break
        return [search.case(self.name) for search in searches]


def answered(target: ChatTarget, scorer: Scorer, prompts: Sequence[tuple[Search, str]]) -> list[tuple[str, float]]:
    """Return the target's reply to each prompt, all of them in one batched call, and its score for the behaviour."""
    if not prompts:
        return []
    replies = target.generate([TestCase(search.behavior.id, user_turn(prompt)) for search, prompt in prompts])
    scores = scorer.score([search.behavior.prompt for search, _ in prompts], replies)
    return list(zip(replies, scores, strict=True))


def share_time(served: Sequence[Search], started: float) -> None:
    """Divide the time of a round among the searches that it served, by their share of it."""
    seconds = (time.perf_counter() - started) / max(1, len(served))
    for search in served:
        search.cost += Cost(seconds=seconds)
