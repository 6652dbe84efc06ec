"""The schedule keeps its shares exactly, and is the same whenever it is asked."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.train.mixat.schedule import DECREASING, INCREASING, VARIANTS, MixSchedule, schedule_of


@settings(max_examples=30)
@given(
    batches=st.integers(0, 90), alpha=st.floats(0, 1), gcg=st.floats(0, 1), seed=st.integers(0, 5),
    variant=st.sampled_from(VARIANTS),
)  # fmt: skip
def test_counts_are_the_shares_rounded(batches, alpha, gcg, seed, variant):
    schedule = schedule_of(variant, alpha=alpha, gcg_share=gcg, seed=seed)
    modes = schedule.modes(batches)
    assert len(modes) == batches
    for mode, share in schedule.shares.items():
        assert abs(modes.count(mode) - share * batches) < 1 + 1e-6
    assert modes == schedule.modes(batches)


@settings(max_examples=30)
@given(batches=st.integers(1, 120), start=st.floats(0, 1), end=st.floats(0, 1), seed=st.integers(0, 5))
def test_a_curriculum_keeps_its_shares_in_every_window(batches, start, end, seed):
    schedule = schedule_of("mixat", alpha=start, alpha_end=end, seed=seed)
    modes = schedule.modes(batches)
    assert len(modes) == batches
    for stop in {*range(0, batches + 1, 8), batches}:
        due = sum(schedule.shares_at(n, batches)["C+D"] for n in range(stop))
        assert abs(modes[:stop].count("C+D") - due) < 1 + 1e-6


def test_the_papers_mixture_with_gcg():
    counts = Counter(schedule_of("mixat-gcg").modes(200))
    assert counts == {"C+D": 90, "C+G": 20, "C": 90}


def test_curricula_go_where_they_should():
    for (alpha, end), falls in ((DECREASING, True), (INCREASING, False)):
        modes = schedule_of("mixat", alpha=alpha, alpha_end=end).modes(80)
        early, late = modes[:40].count("C+D"), modes[40:].count("C+D")
        assert (early > late + 10) if falls else (late > early + 10)


def test_variants_are_what_the_paper_compares():
    seen = {variant: set(schedule_of(variant).modes(40)) for variant in VARIANTS}
    assert seen == {
        "mixat": {"C+D", "C"}, "c": {"C"}, "d": {"D"}, "dual": {"D", "C"}, "mixat-gcg": {"C+D", "C+G", "C"},
        "clean": {"clean"},
    }  # fmt: skip


def test_modes_are_permuted_by_the_seed():
    first, second = (schedule_of("mixat", seed=seed).modes(40) for seed in (0, 1))
    assert first != second
    assert first != sorted(first)
    assert Counter(first) == Counter(second)


def test_independent_draws_have_the_share_on_average_only():
    draws = [schedule_of("mixat", alpha=0.3, exact=False, seed=seed).modes(100).count("C+D") for seed in range(20)]
    assert len(set(draws)) > 5
    assert sum(draws) / 2000 == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: schedule_of("mixat", alpha=1.2), "alpha is 1.2: a share"),
        (lambda: schedule_of("mixat", alpha_end=-0.1), "alpha_end is -0.1"),
        (lambda: schedule_of("mixat-gcg", gcg_share=2), "gcg_share is 2"),
        (lambda: schedule_of("miaxt"), "unknown variant 'miaxt'.*mixat"),
        (lambda: MixSchedule({"C": 0.5, "C+D": 0.4}), "sum to 0.9: make them sum to 1"),
        (lambda: MixSchedule({"C": 1.5, "D": -0.5}), "mode C is 1.5"),
        (lambda: MixSchedule({"CD": 1.0}), "unknown mode 'CD'"),
        (lambda: MixSchedule({"C": 1.0}, end={"C": 0.9}), "sum to 0.9"),
    ],
)
def test_shares_that_are_none(make, match):
    with pytest.raises(InputError, match=match):
        make()
