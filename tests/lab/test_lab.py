"""The loop over seeds: a seed is kept as a whole when it is finished, and leaves nothing when it is not."""

import pytest

from trued.errors import InputError
from trued.lab.arms import number, share
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
    assert [exhibit["title"] for exhibit in again.exhibits()] == ["e"]


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
    assert [exhibit["name"] for exhibit in bench.exhibits()] == ["seed 1", "seed 0", "all"]


def test_progress_hands_on_what_it_counts(lab, claim):
    assert list(lab(claim()).progress(iter("abc"), "letters")) == ["a", "b", "c"]


def test_a_timed_claim_is_known_in_a_run_that_was_cut_off(lab, claim):
    first = lab(claim(), claim(id="cheap"))
    for seed in first.seeds:
        first.measure("better", seed, baseline=0.0, method=1.0)
        first.measure("cheap", seed, baseline=2.0, method=1.0, timed=True)
        first.control("cheap", seed, 2.0)
    again = lab(claim(), claim(id="cheap"), run=first.store)
    result = collect(again.card.claims, again.finished, again.wanted)
    assert {name: row.timed for name, row in result.items()} == {"better": False, "cheap": True}


def cut_off(make, claim):
    """Run one seed of three and stop in the second."""
    bench = make(claim())
    calls = []

    def compute():
        calls.append(1)
        return {"hits": (1, 0)}

    bench.shared("base", compute)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        for seed in bench.seeds:
            assert bench.shared("base", compute) == {"hits": [1, 0]}
            bench.record("tuned", seed, {"hits": [1, 1]})
            bench.compare("better", seed, "hits", baseline="base", method="tuned")
            if seed == 1:
                raise ZeroDivisionError
    bench.abandon()
    return bench, calls


def test_what_is_shared_is_computed_once_and_kept_with_every_seed(lab, claim):
    bench, calls = cut_off(lab, claim)
    assert calls == [1]
    assert bench.store.finished()[0].records["base"] == {"hits": [1, 0]}


def test_a_resumed_run_computes_nothing_shared_anew(lab, claim):
    bench, _ = cut_off(lab, claim)
    again = lab(claim(), run=bench.store)
    assert again.shared("base", lambda: pytest.fail("computed again")) == {"hits": [1, 0]}
    for seed in again.seeds:
        again.record("tuned", seed, {"hits": [0, 0]})
        again.compare("better", seed, "hits", baseline="base", method="tuned")
    assert again.records("base") == {seed: {"hits": [1, 0]} for seed in (0, 1, 2)}
    assert again.finished[2].measurements["better"] == {"baseline": [1.0, 0.0], "method": [0.0, 0.0]}


def test_what_is_shared_may_be_computed_within_a_seed(lab, claim):
    bench = lab(claim(), seeds=(0, 1))
    for seed in bench.seeds:
        bench.shared("base", lambda seed=seed: seed + 10)
        bench.measure("better", seed, baseline=0.0, method=1.0)
    assert bench.records("base") == {0: 10, 1: 10}


def test_arms_are_compared_on_what_they_recorded(lab, claim):
    bench = lab(claim(), seeds=(0,))
    for seed in bench.seeds:
        for arm, loss in (("base", 1.0), ("tuned", 3.0), ("control", 2.0)):
            bench.record(arm, seed, {"gcg": {"loss": [loss, loss + 1]}})
        bench.compare("better", seed, "gcg.loss", baseline="base", method="tuned", control="control")
    assert bench.finished[0].measurements["better"] == {
        "baseline": [1.0, 2.0], "method": [3.0, 4.0], "control": [2.0, 3.0],
    }  # fmt: skip
    for seed in (again := lab(claim(), claim(id="timed"), seeds=(0,))).seeds:
        again.record("a", seed, [1.0, 2.0])
        again.record("b", seed, [2.0, 3.0])
        again.compare("timed", seed, max, baseline="a", method="b", timed=True)
    assert again.finished[0].measurements["timed"] == {"baseline": [2.0], "method": [3.0]}
    assert again.finished[0].timed == {"timed"}


def test_an_arm_that_recorded_nothing_is_named(lab, claim):
    bench = lab(claim())
    with pytest.raises(InputError, match="claim 'better', seed 0: arm 'tuned' recorded nothing; record it first"):  # noqa: PT012
        for seed in bench.seeds:
            bench.record("base", seed, [1.0])
            bench.compare("better", seed, lambda record: record, baseline="base", method="tuned")


def test_the_first_seed_is_the_first_that_is_wanted(lab, claim):
    bench = lab(claim(), seeds=(5, 3))
    assert [bench.is_first(seed) for seed in (5, 3)] == [True, False]


def test_a_table_of_arms_has_means_over_seeds_and_dashes(lab, claim):
    bench = lab(claim(), seeds=(0, 1))
    for seed in bench.seeds:
        bench.record("base", seed, {"hits": [0, 1]})
        bench.record("tuned", seed, {"hits": [seed, 1], "seconds": 2.5})
        bench.measure("better", seed, baseline=0.0, method=1.0)
    arms = bench.arms("base", "absent", "tuned")
    assert list(arms) == ["base", "tuned"]
    bench.arm_table(
        "What arms do", arms, {"hit": share("hits"), "s": number("seconds", ".1f")}, "Means.", first="model"
    )
    (table,) = bench.exhibits()
    assert table["rows"] == [{"model": "base", "hit": "50%", "s": "–"}, {"model": "tuned", "hit": "75%", "s": "2.5"}]
    assert (table["name"], table["caption"]) == ("What arms do", "Means.")


def test_a_figure_hands_options_to_what_draws_it(lab, claim):
    given = {}
    bench = lab(claim())
    svg = bench.figure("f", lambda axes, **options: given.update(options), alt="nothing", series={"a": [1]})
    assert svg.startswith("<?xml")
    assert given == {"series": {"a": [1]}}
