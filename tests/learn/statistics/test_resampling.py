"""Resampling against scipy, exact enumeration and simulated coverage."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import scipy.stats
from jaxtyping import TypeCheckError

from trued.errors import InputError
from trued.learn.statistics import cluster_bootstrap, paired_bootstrap, permutation_test, resampling

RNG = np.random.default_rng(7)
ITEMS = RNG.normal(size=(2, 40))


def test_one_seed_agrees_with_scipy():
    ours = paired_bootstrap(ITEMS[0], ITEMS[1], seed=0, resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (ITEMS[1] - ITEMS[0],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.estimate == pytest.approx((ITEMS[1] - ITEMS[0]).mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_crossed_bootstrap_matches_every_resample_enumerated():
    """Two seeds and three items have 2^2 x 3^3 equally likely resamples; the draws must have their distribution."""
    table = np.array([[1.0, 4.0, -2.0], [0.5, 9.0, 3.0]])
    every = np.sort(
        [
            table[np.ix_(rows, columns)].mean()
            for rows in itertools.product(range(2), repeat=2)
            for columns in itertools.product(range(3), repeat=3)
        ]
    )
    for level in (0.5, 0.8, 0.9):
        interval = paired_bootstrap(np.zeros_like(table), table, seed=3, resamples=40_000, level=level)
        for bound, tail in ((interval.low, (1 - level) / 2), (interval.high, (1 + level) / 2)):
            low, high = np.quantile(every, [tail - 0.02, tail + 0.02], method="nearest")
            assert low - 1e-9 <= bound <= high + 1e-9


def test_seeds_that_disagree_widen_the_interval():
    items = RNG.normal(size=200)
    offsets = np.array([[-1.0], [0.0], [1.0]])
    agreed = paired_bootstrap(np.zeros((3, 200)), np.tile(items, (3, 1)), seed=0)
    disagreed = paired_bootstrap(np.zeros((3, 200)), items + offsets, seed=0)
    assert disagreed.estimate == pytest.approx(agreed.estimate)
    assert disagreed.high - disagreed.low > 3 * (agreed.high - agreed.low)


def test_pairing_removes_what_items_share():
    difficulty = 10 * RNG.normal(size=100)
    interval = paired_bootstrap(difficulty, difficulty + 1 + 0.1 * RNG.normal(size=100), seed=0)
    assert interval.excludes(0.0)
    assert not interval.excludes(interval.estimate)
    assert interval.high - interval.low < 0.1


def test_log_ratio_is_the_log_of_the_ratio_of_means():
    before, after = RNG.gamma(5, size=(3, 50)), RNG.gamma(5, size=(3, 50))
    interval = paired_bootstrap(before, 2 * before, seed=0, statistic="log_ratio")
    assert dataclasses.astuple(interval.exp()) == pytest.approx((2, 2, 2, 0.95))
    interval = paired_bootstrap(before, after, seed=0, statistic="log_ratio")
    assert interval.estimate == pytest.approx(math.log(after.mean() / before.mean()))
    mirrored = paired_bootstrap(after, before, seed=0, statistic="log_ratio")
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low))


def test_same_seed_same_interval_and_blocks_do_not_matter(monkeypatch):
    whole = paired_bootstrap(ITEMS[0], ITEMS[1], seed=5, resamples=3000)
    assert whole == paired_bootstrap(ITEMS[0], ITEMS[1], seed=5, resamples=3000)
    assert whole != paired_bootstrap(ITEMS[0], ITEMS[1], seed=6, resamples=3000)
    monkeypatch.setattr(resampling, "BLOCK", 100)
    assert paired_bootstrap(ITEMS[0], ITEMS[1], seed=5, resamples=3000).low == pytest.approx(whole.low, abs=0.05)


def test_bootstrap_covers_the_truth():
    """Nominal 90 %: 200 samples of 60 items; the share covered has a standard error of 2 points."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        before, after = rng.normal(size=(2, 60))
        covered += not paired_bootstrap(before, after + 0.3, seed=trial, resamples=500, level=0.9).excludes(0.3)
    assert 0.84 <= covered / 200 <= 0.95


def test_cluster_bootstrap_of_single_items_is_the_plain_one_and_copies_add_nothing():
    values = ITEMS[0]
    plain = paired_bootstrap(np.zeros(40), values, seed=1)
    single = cluster_bootstrap(values, np.arange(40), seed=2)
    assert (single.low, single.high) == pytest.approx((plain.low, plain.high), abs=0.03)
    copies = cluster_bootstrap(np.repeat(values, 10), np.repeat(np.arange(40), 10), seed=2)
    assert (copies.low, copies.high) == pytest.approx((single.low, single.high), abs=1e-12)
    naive = paired_bootstrap(np.zeros(400), np.repeat(values, 10), seed=1)
    assert copies.high - copies.low > 2 * (naive.high - naive.low)


def test_cluster_bootstrap_weighs_items_not_clusters():
    interval = cluster_bootstrap([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"], seed=0)
    assert interval.estimate == 0.75
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("n", [2, 5, 11])
def test_permutation_test_is_scipys_exact_one(n, alternative):
    before, after = RNG.normal(size=(2, n))
    expected = scipy.stats.permutation_test(
        (after, before),
        lambda x, y, axis: (x - y).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative=alternative,
    ).pvalue
    assert permutation_test(before, after, alternative=alternative) == pytest.approx(expected)


def test_permutation_test_counts_ties_and_uses_all_signs():
    assert permutation_test(np.zeros(4), np.full(4, 0.1)) == 2 / 16
    assert permutation_test(np.zeros(4), np.zeros(4)) == 1
    assert permutation_test(np.zeros(16), np.full(16, 0.1), alternative="greater") == 2**-16


def test_random_permutations_approach_the_exact_value():
    before, after = np.random.default_rng(3).normal(size=(2, 18))
    after = after + 0.4
    signs = 1 - 2 * ((np.arange(2**18)[:, None] >> np.arange(18)) & 1).astype(np.int8)
    differences = after - before
    exact = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9).mean()
    drawn = permutation_test(before, after, resamples=40_000, seed=0)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))
    assert drawn != permutation_test(before, after, resamples=40_000, seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_bootstrap([1.0, 2.0], [1.0], seed=0), r"differ in shape \(\(1, 2\) and \(1, 1\)\)"),
        (lambda: paired_bootstrap([], [], seed=0), "baseline is empty"),
        (lambda: paired_bootstrap([1.0], [math.nan], seed=0), r"method holds nan at \(0,\)"),
        (lambda: paired_bootstrap([[1.0], [1.0, 2.0]], [1.0], seed=0), "every seed needs the same items"),
        (lambda: paired_bootstrap(np.ones((1, 1, 1)), np.ones((1, 1, 1)), seed=0), r"\[seeds, items\]"),
        (lambda: paired_bootstrap([1.0], [0.0], seed=0, statistic="log_ratio"), "use statistic='mean'"),
        (lambda: paired_bootstrap([1.0], [1.0], seed=0, statistic="median"), "'median'"),
        (lambda: paired_bootstrap([1.0], [1.0], seed=0, level=95.0), r"level 95.0: .*\(0, 1\)"),
        (lambda: paired_bootstrap([1.0], [1.0], seed=0, resamples=0), "resamples 0"),
        (lambda: cluster_bootstrap([1.0, 2.0], ["a"], seed=0), "one label per value"),
        (lambda: cluster_bootstrap([1.0, 2.0], ["a", "a"], seed=0), "at least 2"),
        (lambda: permutation_test([1.0], [1.0, 2.0]), "differ in length"),
        (lambda: permutation_test([1.0], [1.0], alternative="more"), "'more'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((InputError, TypeCheckError), match=message):  # runtime type checks may see it first
        call()
