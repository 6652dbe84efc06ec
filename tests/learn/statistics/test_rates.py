"""Wilson's interval against statsmodels and its formula, and what unknown items leave of a rate."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from trued.errors import InputError
from trued.learn.statistics import Rate, cluster_bootstrap, rate, wilson


@settings(deadline=None)
@given(n=st.integers(1, 200), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(n, share, level):
    successes = round(share * n)
    ours = wilson(successes, n, level=level)
    assert (ours.low, ours.high) == pytest.approx(
        proportion_confint(successes, n, alpha=1 - level, method="wilson"), abs=1e-12
    )
    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


@pytest.mark.parametrize(("successes", "n", "level"), [(0, 7, 0.95), (3, 7, 0.95), (7, 7, 0.8), (19, 24, 0.95)])
def test_wilson_is_its_formula(successes, n, level):
    z, p = norm.ppf((1 + level) / 2), successes / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    ours = wilson(successes, n, level=level)
    assert (ours.low, ours.high) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-12)


def marks(*counts):
    """Hits, unknown ones and the rest, in this order."""
    hits, unknown, _ = counts
    return np.arange(sum(counts)) < hits, np.isin(np.arange(sum(counts)), range(hits, hits + unknown))


def test_fifteen_hits_and_four_unknown_of_twenty_four():
    result = rate(*marks(15, 4, 5), seed=0)
    assert result.lower_bound
    assert (result.least, result.most) == (15 / 24, 19 / 24)
    assert (result.low, result.high) == (wilson(15, 24).low, wilson(19, 24).high)
    assert round(100 * result.least) == 62
    assert round(100 * result.high) == 91
    assert result == Rate.of(15, 4, 24)


def test_without_unknown_items_it_is_wilsons():
    result = rate(marks(5, 0, 7)[0], seed=0)
    assert not result.lower_bound
    assert result.interval == wilson(5, 12)


@given(st.lists(st.sampled_from("hu-"), min_size=1, max_size=12), st.booleans())
def test_the_bounds_hold_whatever_the_unknown_ones_are(items, clustered):
    hits, unknown = (np.array([item == kind for item in items]) for kind in "hu")
    clusters = [i // 2 for i in range(len(items))] if clustered else None
    result = rate(hits, unknown, clusters, seed=0)
    assert 0 <= result.low <= result.least <= result.most <= result.high <= 1
    assert result.low < result.high
    worst = rate(hits | unknown, None, clusters, seed=0)
    assert result.high >= worst.high
    assert worst.low >= result.low


def test_clusters_are_resampled_and_alike_ones_still_have_width():
    hits, clusters = np.array([True, True, True, False, False, True]), list("aabbcc")
    expected = cluster_bootstrap(hits, clusters, seed=3)
    assert rate(hits, None, clusters, seed=3).interval == expected
    alike = rate(np.ones(8, dtype=bool), None, list("aabbccdd"), seed=0)
    assert (alike.low, alike.high) == (wilson(4, 4).low, 1)
    half = rate(np.array([True, False] * 3), None, list("aabbcc"), seed=0)
    assert half.low < 0.5 < half.high
    single = rate(np.array([True, False]), None, ["a", "a"], seed=0)
    assert (single.least, single.low, single.high) == (0.5, 0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(3, 2), "3 successes of 2"),
        (lambda: wilson(0, 0), "0 successes of 0"),
        (lambda: rate(np.ones(2, dtype=bool), np.ones(3, dtype=bool), seed=0), "2 hits and 3 marks"),
        (lambda: rate(np.ones(2, dtype=bool), np.ones(2, dtype=bool), seed=0), "2 of 2 items are hits and unknown"),
        (lambda: rate(np.ones(0, dtype=bool), seed=0), "0 successes of 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((InputError, TypeCheckError), match=f"{message}|must be|Type-check"):
        call()
