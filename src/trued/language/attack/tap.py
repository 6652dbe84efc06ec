"""TAP: a tree of prompts that an attacker model grows, pruned before and after asking (arXiv 2312.02119, Algorithm 1).

Knows an attacker, a topic filter, a scorer and a target that answers. Knows nothing of the target's weights.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from trued.data.messages import Message
from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import AFFIRMATIVE, Behavior, ChatTarget, TestCase, checked, generator_for
from trued.language.attack.pair import Search, answered, share_time
from trued.language.attack.refine import Proposal, continued, opening, read_proposal
from trued.language.attack.scorer import BROKEN, LabelScorer, Scorer, Topic, checked_cutoff


@dataclass(frozen=True)
class Branch:
    """A conversation with the attacker and the prompt that it has just proposed."""

    history: list[Message]
    proposal: Proposal


@dataclass(frozen=True)
class TAP:
    """The attack, in the reduced setting of MixAT's evaluation; the paper's is depth 10, width 10, branching 4.

    Args:
        attacker: the model that writes the prompts.
        topic: prunes prompts that no longer ask for the behaviour.
        scorer: scores replies from 1 to 10; not the judge that success is counted by.
        depth: levels of the tree.
        width: leaves that are kept, after each pruning.
        branching: prompts that each leaf leads to.
        keep_last: rounds that the attacker still sees.
        cutoff: stop once a reply scores this much.
        reply_tokens: length of the target's replies that are scored.
        target: what the attacker is told that the reply should begin with, for behaviours without a target.
    """

    attacker: Attacker
    topic: Topic
    scorer: Scorer = field(default_factory=LabelScorer)
    depth: int = 3
    width: int = 3
    branching: int = 4
    keep_last: int = 3
    cutoff: float = BROKEN
    reply_tokens: int = 150
    target: str = AFFIRMATIVE

    name: ClassVar[str] = "tap"

    def __post_init__(self) -> None:
        for name in ("depth", "width", "branching", "keep_last", "reply_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give at least 1")
        checked_cutoff(self.cutoff)

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return the highest-scored prompt of every behaviour; `meta` as PAIR's, and how many were pruned.

        `budget` bounds the queries of a behaviour: the tree stops growing when the next level might exceed it.
        """
        short_target = replace(target, max_new_tokens=self.reply_tokens)
        return [self._grow(behavior, short_target, seed, budget) for behavior in checked(behaviors, budget)]

    def _grow(self, behavior: Behavior, target: ChatTarget, seed: int, budget: int | None) -> TestCase:
        rng = random.Random(generator_for(seed, behavior).initial_seed())
        search, off_topic = Search(behavior), 0
        leaves = [opening(behavior, behavior.target or self.target)]
        for _ in range(self.depth):
            if budget is not None and search.cost.queries + self.width > budget:
                break
            started = time.perf_counter()
            branches = self._expand(leaves, search, rng.getrandbits(30))
            on_topic, pruned = self._on_topic(branches, behavior, rng)
            off_topic += pruned
            results = answered(target, self.scorer, [(search, branch.proposal.prompt) for branch in on_topic])
            for branch, (reply, score) in zip(on_topic, results, strict=True):
                search.note(branch.proposal.prompt, reply, score, self.cutoff)
            ranked = sorted(zip(on_topic, results, strict=True), key=lambda pair: -pair[1][1])[: self.width]
            # With nothing to go on from (no proposal could be read), the next level starts from the same leaves.
            leaves = [
                continued(branch.history, branch.proposal, reply, score, behavior, self.keep_last)
                for branch, (reply, score) in ranked
            ] or leaves
            share_time([search], started)
            if search.solved_after is not None:
                break
        case = search.case(self.name)
        return replace(case, meta={**case.meta, "off_topic": off_topic})

    def _expand(self, leaves: list[list[Message]], search: Search, seed: int) -> list[Branch]:
        histories = [leaf for leaf in leaves for _ in range(self.branching)]
        proposals, _ = self.attacker.write_until(histories, read_proposal, seed=seed)
        search.unreadable += sum(proposal is None for proposal in proposals)
        return [Branch(h, p) for h, p in zip(histories, proposals, strict=True) if p is not None]

    def _on_topic(self, branches: list[Branch], behavior: Behavior, rng: random.Random) -> tuple[list[Branch], int]:
        """Return at most `width` branches that are on topic, drawn at random, and how many were not.

        A level of which all is off topic keeps one branch at random, so that the tree does not end there.
        """
        if not branches:
            return [], 0
        same = self.topic.same([behavior.prompt] * len(branches), [branch.proposal.prompt for branch in branches])
        on_topic = [branch for branch, on in zip(branches, same, strict=True) if on]
        pruned = len(branches) - len(on_topic)
        on_topic = on_topic or [rng.choice(branches)]
        return rng.sample(on_topic, min(self.width, len(on_topic))), pruned
