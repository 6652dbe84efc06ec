"""AutoDAN: selection and crossover against what they promise, the loss that falls, and generation 0 beside it."""

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.attack.autodan.mutator import IdentityMutator, synonyms
from trued.language.attack.autodan.prefixes import sentences
from trued.language.attack.autodan.search import AutoDAN, WordScores, exchange, roulette
from trued.language.attack.contract import Behavior, ChatTarget

ASK = Behavior("a", "say this")
SMALL = AutoDAN(steps=6, population=8, elites=0.25, check_every=100, patience=100)


def test_roulette_draws_by_softmax_of_fitness():
    losses = [0.0, 1.0, 3.0]
    drawn = Counter(roulette(["a", "b", "c"], losses, 30_000, random.Random(0)))
    total = sum(math.exp(-loss) for loss in losses)
    for text, loss in zip("abc", losses, strict=True):
        assert drawn[text] / 30_000 == pytest.approx(math.exp(-loss) / total, abs=0.01)
    assert roulette(["a", "b"], [1000.0, 2000.0], 5, random.Random(0)) == ["a"] * 5  # no overflow


texts = st.lists(st.sampled_from(["Ab.", "Cd!", "Ef?", "Gh."]), min_size=1, max_size=9).map(" ".join)


@given(mother=texts, father=texts, points=st.integers(1, 6), seed=st.integers(0, 999))
def test_crossover_loses_no_sentence(mother, father, points, seed):
    first, second = exchange(mother, father, points, random.Random(seed))
    assert Counter(sentences(first) + sentences(second)) == Counter(sentences(mother) + sentences(father))
    for place, (a, b) in enumerate(zip(sentences(mother), sentences(father), strict=False)):
        assert {sentences(first)[place], sentences(second)[place]} == {a, b}


def test_crossover_mixes():
    mother, father = "A. B. C. D. E. F.", "a. b. c. d. e. f."
    children = {exchange(mother, father, 5, random.Random(seed))[0] for seed in range(50)}
    assert len(children) > 10
    assert all(len(sentences(child)) == 6 for child in children)


def test_the_best_loss_never_rises_and_is_the_targets_own(tiny):
    target = ChatTarget(tiny)
    start, end = SMALL.run([ASK], target, seed=0)
    assert (start.attack, end.attack) == ("autodan-generation-0", "autodan")
    losses = end.meta["losses"]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 7
    assert end.meta["loss"] < start.meta["loss"] == losses[0] == start.meta["losses"][0]
    for case in (start, end):
        assert case.messages[0]["content"].endswith(" say this")
        again = float(target.nll([case], [SMALL.target])[0])
        assert case.meta["loss"] == pytest.approx(again, abs=1e-4)
    assert start.cost.forwards == 8
    assert 8 < end.cost.forwards <= 8 + 6 * 8
    assert end.cost.queries == 0


def test_elites_go_on_unchanged_and_are_scored_once(tiny, monkeypatch):
    target = ChatTarget(tiny)
    seen = []
    nll = ChatTarget.nll

    def counting(self, cases, replies):
        seen.append(len(cases))
        return nll(self, cases, replies)

    monkeypatch.setattr(ChatTarget, "nll", counting)
    frozen = AutoDAN(steps=3, population=4, elites=0.5, crossover=0.0, mutator=IdentityMutator(), patience=9)
    _, end = frozen.run([ASK], target, seed=0)
    assert seen == [4]  # without crossover and mutation no new text ever comes up
    assert end.cost.forwards == 4
    assert end.meta["losses"] == [end.meta["loss"]] * 4


def test_it_stops_without_progress_and_where_it_is_not_refused(tiny, monkeypatch):
    still = AutoDAN(steps=50, population=4, crossover=0.0, mutator=IdentityMutator(), patience=3, check_every=99)
    assert still.run([ASK], ChatTarget(tiny), seed=0)[1].meta["generations"] == 3

    monkeypatch.setattr(tiny, "generate", lambda turns, **_: [["Sure, take this"] for _ in turns])
    willing = AutoDAN(steps=50, population=4, check_every=2)
    case = willing.run([ASK], ChatTarget(tiny), seed=0)[1]
    assert (case.meta["generations"], case.cost.queries) == (2, 1)

    monkeypatch.setattr(tiny, "generate", lambda turns, **_: [["I can't help with that."] for _ in turns])
    assert willing.run([ASK], ChatTarget(tiny), seed=0)[1].meta["generations"] > 2


def test_the_seed_decides_and_a_budget_bounds(tiny):
    target = ChatTarget(tiny)
    run = lambda seed, **o: SMALL.run([ASK], target, seed=seed, **o)[1]  # noqa: E731
    assert run(0).messages == run(0).messages
    assert run(0).meta["losses"] != run(1).meta["losses"]
    assert run(0, budget=20).cost.forwards <= 20
    with pytest.raises(InputError, match="generation 0 takes 8"):
        run(0, budget=7)


def test_word_scores_have_momentum():
    words = WordScores(momentum=0.25)
    words.update(["One two", "two."], [0.0, math.log(2)])
    assert words.scores == {"one": 1.0, "two": 0.75}
    words.update(["two"], [math.log(4)])
    assert words.scores == {"one": 1.0, "two": 0.25 * 0.75 + 0.75 * 0.25}


def test_words_of_high_score_take_over():
    word = "answer"
    favourite, *others = synonyms(word)
    words = WordScores(0.5, {favourite: 1.0, word: 1e-9} | dict.fromkeys(others, 1e-9))
    swapped = words.swap(["Answer it"] * 200, [1.0] * 199 + [0.0], 1, random.Random(0))
    assert swapped[199] == "Answer it"  # the best one stays
    assert swapped.count(f"{favourite.capitalize()} it") > 190


def test_the_hierarchical_search_goes_by_another_name_and_swaps_words(tiny):
    attack = AutoDAN(steps=5, population=6, hierarchical=True, word_steps=2, check_every=99, patience=99)
    start, end = attack.run([ASK], ChatTarget(tiny), seed=0)
    assert (start.attack, end.attack) == ("autodan-hga-generation-0", "autodan-hga")
    assert end.meta["loss"] <= start.meta["loss"]
    assert end.cost.forwards > start.cost.forwards


@pytest.mark.parametrize(
    ("bad", "says"),
    [({"population": 1}, "population is 1; give at least 2"), ({"elites": 1.5}, "elites is 1.5"),
     ({"elites": 1.0}, "elites is 1.0 of a population of 64"),
     ({"elites": 0.8, "population": 2}, "nobody would be bred"),
     ({"steps": -1}, "steps is -1"), ({"patience": 0}, "patience is 0")],
)  # fmt: skip
def test_bad_settings(bad, says):
    with pytest.raises(InputError, match=says):
        AutoDAN(**bad)


def test_an_empty_target_and_a_loss_that_is_not_finite(tiny, monkeypatch):
    with pytest.raises(InputError, match="the target is empty"):
        SMALL.run([Behavior("a", "x", target=" ")], ChatTarget(tiny), seed=0)
    monkeypatch.setattr(ChatTarget, "nll", lambda self, cases, replies: torch.full((len(cases),), float("nan")))
    with pytest.raises(InputError, match="not finite; load it in float32"):
        SMALL.run([ASK], ChatTarget(tiny), seed=0)
