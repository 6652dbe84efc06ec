"""The loop over seeds: a seed is kept as a whole when it is finished, and leaves nothing when it is not."""

import pytest

from trued.errors import InputError
from trued.lab.evidence import collect


def test_a_seed_is_kept_when_the_loop_asks_for_the_next_one(lab, claim):
    bench = lab(claim())
    seen = []
    for seed in bench.seeds:
        bench.measure("better", seed, baseline=[0.0, 1.0], method=[1.0, 2.0])
        bench.record("curve", seed, {"x": [seed]})
        seen.append(sorted(bench.store.finished()))
    assert seen == [[], [0], [0, 1]]
    assert bench.store.finished()[2].measurements == {"better": {"baseline": [0.0, 1.0], "method": [1.0, 2.0]}}
    assert bench.records("curve") == {0: {"x": [0]}, 1: {"x": [1]}, 2: {"x": [2]}}


def test_an_exception_leaves_nothing_of_its_seed_and_the_rest_is_not_run_again(lab, claim):
    bench = lab(claim())
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        for seed in bench.seeds:
            bench.measure("better", seed, baseline=0.0, method=1.0)
            bench.record("k", seed, seed)
            bench.example("e", "a", "b")
            if seed == 1:
                raise ZeroDivisionError
    bench.abandon()
    assert list(bench.store.finished()) == [0]

    again = lab(claim(), run=bench.store)
    run = []
    for seed in again.seeds:
        run.append(seed)
        again.measure("better", seed, baseline=0.0, method=1.0)
        again.record("k", seed, seed)
    assert run == [1, 2]
    assert again.records("k") == {0: 0, 1: 1, 2: 2}
    assert [one["title"] for one in again.exhibits()] == ["e"]


def test_leaving_the_loop_early_keeps_nothing_of_that_seed(lab, claim):
    bench = lab(claim())
    for seed in bench.seeds:
        bench.measure("better", seed, baseline=0.0, method=1.0)
        break
    assert bench.store.finished() == {}


def test_only_the_wanted_seeds_are_run(lab, claim):
    bench = lab(claim(), seeds=(5, 3))
    assert list(bench.seeds) == [5, 3]
    assert len(bench.seeds) == 2


def misuse(bench, what):
    for seed in bench.seeds:
        what(bench, seed)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda b, s: b.measure("beter", s, baseline=0, method=1), "has no claim 'beter'; did you mean better?"),
        (lambda b, s: b.measure("better", s + 1, baseline=0, method=1), "seed 1, but seed 0 is in progress"),
        (lambda b, s: b.measure("better", s, baseline=[0, 1], method=[1]), "seed 0: 1 values, but 2 for the baseline"),
        (lambda b, s: b.measure("better", s, baseline=[0.0] * (1 + s), method=[1.0] * (1 + s)), "but 1 for seed 0"),
        (lambda b, s: b.control("better", s, 0.0), "a control without a measurement"),
        (lambda b, s: [b.measure("better", s, baseline=0, method=1) for _ in range(2)], "measured twice in seed 0"),
        (lambda b, s: b.figure("f", lambda ax: None, alt=" "), "has no alt text"),
        (lambda b, s: b.table("t", [{"a": 1}, {"b": 1}]), "differ in their columns"),
    ],
)
def test_misuse_is_named(lab, claim, what, words):
    with pytest.raises(InputError) as error:
        misuse(lab(claim()), what)
    assert words in str(error.value)


def test_a_control_belongs_to_every_seed_or_to_none(lab, claim):
    def measure(bench, seed):
        bench.measure("better", seed, baseline=0.0, method=1.0)
        if seed == 0:
            bench.control("better", seed, 0.0)

    with pytest.raises(InputError, match="every seed or in none"):
        misuse(lab(claim()), measure)


def test_measuring_outside_the_loop_is_refused(lab, claim):
    with pytest.raises(InputError, match="no seed is in progress"):
        lab(claim()).measure("better", 0, baseline=0.0, method=1.0)


def test_exhibits_of_seeds_come_first_and_in_their_order(lab, claim):
    bench = lab(claim(), seeds=(1, 0))
    for seed in bench.seeds:
        bench.table(f"seed {seed}", [{"a": seed}])
    bench.table("all", [{"a": 9}])
    assert [one["name"] for one in bench.exhibits()] == ["seed 1", "seed 0", "all"]


def test_progress_hands_on_what_it_counts(lab, claim):
    assert list(lab(claim()).progress(iter("abc"), "letters")) == ["a", "b", "c"]


def test_a_timed_claim_is_known_in_a_run_that_was_cut_off(lab, claim):
    first = lab(claim(), claim(id="cheap"))
    for seed in first.seeds:
        first.measure("better", seed, baseline=0.0, method=1.0)
        first.measure("cheap", seed, baseline=2.0, method=1.0, timed=True)
        first.control("cheap", seed, 2.0)
    again = lab(claim(), claim(id="cheap"), run=first.store)
    found = collect(again.card.claims, again.finished, again.wanted)
    assert {name: row.timed for name, row in found.items()} == {"better": False, "cheap": True}
