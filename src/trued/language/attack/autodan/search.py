"""AutoDAN: natural prefixes bred for the target's likelihood by a genetic algorithm (arXiv 2310.04451, Section 3).

The flat algorithm is the one of HarmBench (arXiv 2402.04249); `hierarchical` adds the paper's word level, where
momentum word scores decide which synonyms are taken. Seed prefixes alone often break a weak model, so what generation
0 does is reported as an attack of its own, and a bred prefix has to be compared with it.

Knows prefixes, losses and a target. Knows nothing of gradients.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from trued.errors import InputError
from trued.language.attack.autodan.mutator import Mutator, SynonymMutator, cased, synonyms
from trued.language.attack.autodan.prefixes import seed_prefixes, sentences
from trued.language.attack.contract import (
    AFFIRMATIVE,
    Behavior,
    ChatTarget,
    Cost,
    TestCase,
    checked,
    generator_for,
    user_turn,
)
from trued.language.judge.reply import Judge, Label, PhraseJudge

_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class AutoDAN:
    """The attack, with HarmBench's settings.

    Args:
        steps: generations after the first.
        population: prefixes in each.
        elites: share of a generation that goes on unchanged.
        crossover: probability that a pair exchanges sentences.
        points: most sentence boundaries at which it does.
        mutation: probability that an offspring is mutated.
        hierarchical: breed words too (the paper's HGA): every `word_steps` of `word_steps` + 1 generations only swap
            words for synonyms, by their momentum scores; the next one crosses sentences.
        word_steps: generations of words between two of sentences.
        momentum: weight of a word's earlier score.
        check_every: generations after which the best prefix's reply is read; the search stops where it is no refusal.
        patience: generations without a lower loss after which it stops.
        reply_tokens: length of the replies that are read.
        target: the reply to make likely for behaviours that bring none of their own.
        model_name: put into the seed prefixes; empty for the target's own name.
        vendor: put into the seed prefixes.
        mutator: varies offspring.
        judge: decides whether a reply that was read refuses; not the judge that success is counted by.
    """

    steps: int = 100
    population: int = 64
    elites: float = 0.1
    crossover: float = 0.5
    points: int = 5
    mutation: float = 0.01
    hierarchical: bool = False
    word_steps: int = 4
    momentum: float = 0.5
    check_every: int = 5
    patience: int = 10
    reply_tokens: int = 32
    target: str = AFFIRMATIVE
    model_name: str = ""
    vendor: str = "the lab"
    mutator: Mutator = field(default_factory=SynonymMutator)
    judge: Judge = field(default_factory=PhraseJudge)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"steps is {self.steps}; give 0 or more")
        for name, least in (("population", 2), ("points", 1), ("word_steps", 1), ("check_every", 1), ("patience", 1),
                            ("reply_tokens", 1)):  # fmt: skip
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; give at least {least}")
        for name in ("elites", "crossover", "mutation", "momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1")
        if self._elite_count(self.population) >= self.population:
            raise InputError(
                f"elites is {self.elites} of a population of {self.population}, and nobody would be bred: give a share "
                "that leaves at least one place for offspring, such as 0.1"
            )

    @property
    def name(self) -> str:
        return "autodan-hga" if self.hierarchical else "autodan"

    def run(
        self, behaviors: Sequence[Behavior], target: ChatTarget, *, seed: int, budget: int | None = None
    ) -> list[TestCase]:
        """Return two test cases per behaviour: the best prefix of generation 0, and the best of all generations.

        The first has the attack's name with "-generation-0"; `meta` has `loss`, `losses` (the least so far, one a
        generation) and `generations`.

        Raises:
            InputError: an empty target, or a budget that does not pay for generation 0.
        """
        if budget is not None and budget < self.population:
            raise InputError(
                f"budget is {budget} passes and generation 0 takes {self.population}; raise the budget or lower "
                "population"
            )
        return [case for b in checked(behaviors, budget) for case in self._breed(b, target, seed, budget)]

    def _breed(self, behavior: Behavior, target: ChatTarget, seed: int, budget: int | None) -> list[TestCase]:
        goal = behavior.target or self.target
        if not goal.strip():
            raise InputError("the target is empty; give the opening of a complying reply, e.g. 'Sure, here is'")
        rng = random.Random(generator_for(seed, behavior).initial_seed())
        name = self.model_name or target.model.title
        scored = _Fitness(behavior, target, goal)
        words = WordScores(self.momentum)
        population = seed_prefixes(self.population, rng, model=name, vendor=self.vendor)
        losses = scored(population)
        best = [min(losses)]
        start = self._case(f"{self.name}-generation-0", scored, best, scored.cost())
        short_target = replace(target, max_new_tokens=self.reply_tokens)
        waited = 0
        for step in range(1, self.steps + 1):
            if budget is not None and scored.forwards + len(population) > budget:
                break
            if self.hierarchical and step % (self.word_steps + 1):
                words.update(population, losses)
                population = words.swap(population, losses, self._elite_count(len(population)), rng)
            else:
                population = self._next(population, losses, rng)
            losses = scored(population)
            waited = 0 if min(losses) < best[-1] else waited + 1
            best.append(min(best[-1], *losses))
            if (
                step % self.check_every == 0 and self._broken(short_target, behavior, scored)
            ) or waited >= self.patience:
                break
        return [start, self._case(self.name, scored, best, scored.cost())]

    def _elite_count(self, size: int) -> int:
        return max(1, round(self.elites * size)) if self.elites else 0

    def _next(self, population: list[str], losses: list[float], rng: random.Random) -> list[str]:
        """Return the next generation: elites, then offspring of parents drawn by their fitness."""
        elites = [
            population[i] for i in sorted(range(len(losses)), key=losses.__getitem__)[: self._elite_count(len(losses))]
        ]
        parents = roulette(population, losses, len(population) - len(elites), rng)
        offspring: list[str] = []
        for mother, father in zip(parents[::2], [*parents[1::2], parents[0]], strict=False):
            pair = exchange(mother, father, self.points, rng) if rng.random() < self.crossover else (mother, father)
            offspring += pair
        offspring = offspring[: len(parents)]
        mutated = [i for i in range(len(offspring)) if rng.random() < self.mutation]
        for i, text in zip(mutated, self.mutator.mutate([offspring[i] for i in mutated], rng), strict=True):
            offspring[i] = text
        return elites + offspring

    def _broken(self, target: ChatTarget, behavior: Behavior, scored: _Fitness) -> bool:
        replies = target.generate([scored.test_case(scored.best)])
        scored.queries += 1
        return self.judge.label([behavior.prompt], replies)[0] is Label.YES

    @staticmethod
    def _case(attack: str, scored: _Fitness, best: list[float], cost: Cost) -> TestCase:
        meta = {"loss": best[-1], "losses": list(best), "generations": len(best) - 1}
        return replace(scored.test_case(scored.best), attack=attack, cost=cost, meta=meta)


@dataclass
class _Fitness:
    """Losses of prefixes for one behaviour, each computed once, and what they took."""

    behavior: Behavior
    target: ChatTarget
    goal: str
    known: dict[str, float] = field(default_factory=dict)
    forwards: int = 0
    queries: int = 0
    started: float = field(default_factory=time.perf_counter)

    def __call__(self, prefixes: Sequence[str]) -> list[float]:
        new = [text for text in dict.fromkeys(prefixes) if text not in self.known]
        if new:
            losses = self.target.nll([self.test_case(text) for text in new], [self.goal] * len(new)).tolist()
            if not all(map(math.isfinite, losses)):
                raise InputError(
                    f"the loss of {self.target.model.name} in {self.target.model.dtype} is not finite; load it in "
                    "float32 or bfloat16"
                )
            self.known |= dict(zip(new, losses, strict=True))
            self.forwards += len(new)
        return [self.known[text] for text in prefixes]

    @property
    def best(self) -> str:
        return min(self.known, key=self.known.__getitem__)

    def test_case(self, prefix: str) -> TestCase:
        return TestCase(self.behavior.id, user_turn(f"{prefix} {self.behavior.prompt}"))

    def cost(self) -> Cost:
        return Cost(self.queries, self.forwards, 0, time.perf_counter() - self.started)


def roulette(texts: Sequence[str], losses: Sequence[float], count: int, rng: random.Random) -> list[str]:
    """Draw `count` texts with replacement, with probabilities softmax(-loss)."""
    least = min(losses)
    return rng.choices(texts, weights=[math.exp(least - loss) for loss in losses], k=count)


def exchange(mother: str, father: str, points: int, rng: random.Random) -> tuple[str, str]:
    """Cross two texts at up to `points` sentence boundaries: between two of them each side's sentences are swapped
    with probability 1/2. Nothing is lost: together the two children have the sentences of the two parents.
    """
    a, b = sentences(mother), sentences(father)
    boundaries = min(len(a), len(b)) - 1
    if boundaries < 1:
        return mother, father
    cuts = [0, *sorted(rng.sample(range(1, boundaries + 1), min(points, boundaries))), max(len(a), len(b))]
    first: list[str] = []
    second: list[str] = []
    for start, end in pairwise(cuts):
        left, right = (a, b) if rng.random() < 0.5 else (b, a)
        first += left[start:end]
        second += right[start:end]
    return " ".join(first), " ".join(second)


@dataclass
class WordScores:
    """Momentum scores of words (paper, Section 3.3): a word's score is the mean fitness of the texts that have it,
    averaged with its earlier score.

    Args:
        momentum: weight of the earlier score.
    """

    momentum: float
    scores: dict[str, float] = field(default_factory=dict)

    def update(self, texts: Sequence[str], losses: Sequence[float]) -> None:
        """Score every word of `texts` by the fitness exp(-loss) of those that have it."""
        seen: dict[str, list[float]] = {}
        for text, loss in zip(texts, losses, strict=True):
            for word in {raw.casefold() for raw in _WORD.findall(text)}:
                seen.setdefault(word, []).append(math.exp(-loss))
        for word, values in seen.items():
            new, old = sum(values) / len(values), self.scores.get(word)
            self.scores[word] = new if old is None else self.momentum * old + (1 - self.momentum) * new

    def swap(self, texts: Sequence[str], losses: Sequence[float], elites: int, rng: random.Random) -> list[str]:
        """Return the texts with words swapped for synonyms, in proportion to the scores; the `elites` best unchanged.

        A synonym that was never seen has the mean score, so that new words come in.
        """
        best = set(sorted(range(len(losses)), key=losses.__getitem__)[:elites])
        mean = sum(self.scores.values()) / len(self.scores)

        def draw(match: re.Match[str]) -> str:
            words = [match[0].casefold(), *synonyms(match[0])]
            if len(words) == 1:
                return match[0]
            weights = [self.scores.get(word, mean) for word in words]
            replacement = rng.choices(words, weights=weights)[0]
            return match[0] if replacement == words[0] else cased(replacement, match[0])

        return [text if i in best else _WORD.sub(draw, text) for i, text in enumerate(texts)]
