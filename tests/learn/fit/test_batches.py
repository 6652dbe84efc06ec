"""Batches hold every row once an epoch, within their budget, and are the same whenever they are computed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.learn.fit.batches import Batches, derived_seed

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=80)


@given(LENGTHS, st.integers(50, 200), st.integers(0, 3), st.integers(0, 5))
def test_a_token_budget_holds_with_padding_and_each_row_comes_once(lengths, budget, seed, epoch):
    batches = Batches(len(lengths), max_tokens=budget, lengths=lengths, seed=seed)
    plan = batches.epoch(epoch)
    assert sorted(row for batch in plan for row in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[row] for row in batch) <= budget for batch in plan)
    assert len(plan) == len(batches)


@given(LENGTHS, st.integers(50, 200))
def test_rows_of_a_batch_are_neighbours_in_length(lengths, budget):
    plan = Batches(len(lengths), max_tokens=budget, lengths=lengths).epoch(0)
    spans = sorted((min(lengths[row] for row in batch), max(lengths[row] for row in batch)) for batch in plan)
    assert all(high <= low for (_, high), (low, _) in pairwise(spans))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 4))
def test_a_row_budget_cuts_a_permutation(rows, size, epoch):
    plan = Batches(rows, batch_size=size).epoch(epoch)
    assert sorted(row for batch in plan for row in batch) == list(range(rows))
    assert {len(batch) for batch in plan[:-1]} <= {size}


def test_the_plan_depends_on_seed_and_epoch_and_on_nothing_else():
    first, second = Batches(50, batch_size=7, seed=3), Batches(50, batch_size=7, seed=3)
    late = second[23]
    assert [first[n] for n in range(40)][23] == late
    assert first.epoch(0) != first.epoch(1)
    assert first.epoch(0) != Batches(50, batch_size=7, seed=4).epoch(0)
    assert first[len(first)] == first.epoch(1)[0]


def test_seeds_of_neighbours_differ_in_the_bits_that_the_generator_reads():
    # The Mersenne twister takes the low 32 bits only.
    seeds = {derived_seed("step", seed, step, 0) % 2**32 for seed in range(30) for step in range(30)}
    assert len(seeds) == 900


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"rows": 0, "batch_size": 1}, "no rows"),
        ({"rows": 2}, "exactly one"),
        ({"rows": 2, "batch_size": 1, "max_tokens": 1}, "exactly one"),
        ({"rows": 2, "max_tokens": 9}, "needs the lengths"),
        ({"rows": 2, "max_tokens": 9, "lengths": [1]}, "1 lengths for 2 rows"),
        ({"rows": 2, "max_tokens": 9, "lengths": [1, 10]}, "row 1 has 10 tokens"),
    ],
)
def test_unfit_budgets_are_named(given_, message):
    with pytest.raises(InputError, match=message):
        Batches(**given_)
