"""Tango's interval by its definition, against the score test and by its coverage; McNemar against statsmodels."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.optimize import minimize_scalar
from scipy.stats import binom, multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from trued.errors import InputError
from trued.learn.statistics import mcnemar, paired_score_interval

Z = norm.ppf(0.975)


def rejected(gained, lost, n, difference):
    """The score test of one difference, its nuisance share found by maximising the likelihood numerically."""

    def loss(q):
        shares = (q + difference, q, 1 - 2 * q - difference)
        counts = (gained, lost, n - gained - lost)
        return -sum(k * math.log(max(p, 1e-300)) for k, p in zip(counts, shares, strict=True) if k)

    low, high = max(0.0, -difference), (1 - difference) / 2
    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    q = min((low, q, high), key=loss)
    return (gained - lost - n * difference) ** 2 > Z**2 * n * (2 * q + difference * (1 - difference))


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(0, 0, 24), (3, 1, 20), (0, 5, 12), (12, 0, 12), (1, 11, 12), (4, 4, 9)]
)
def test_the_interval_holds_what_the_score_test_does_not_reject(gained, lost, n):
    interval = paired_score_interval(gained, lost, n)
    assert interval.low <= interval.estimate <= interval.high
    for end, outwards in ((interval.low, -1), (interval.high, 1)):
        assert not rejected(gained, lost, n, end - outwards * 1e-4)
        if abs(end) < 1 - 1e-4:
            assert rejected(gained, lost, n, end + outwards * 1e-4)


def test_where_all_pairs_agree_it_has_width():
    interval = paired_score_interval(0, 0, 24)
    assert (interval.low, interval.high) == pytest.approx((-(Z**2) / (24 + Z**2), Z**2 / (24 + Z**2)))
    assert round(100 * interval.high) == 14
    whole = paired_score_interval(12, 0, 12)
    assert whole.high == 1
    assert whole.low < 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40))
def test_it_leaves_out_zero_where_the_score_test_says_so(gained, lost, rest):
    n = gained + lost + rest
    if n == 0:
        return
    interval = paired_score_interval(gained, lost, n)
    mirrored = paired_score_interval(lost, gained, n)
    assert (interval.low, interval.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)
    if gained != lost:
        assert interval.excludes(0) == ((gained - lost) ** 2 > Z**2 * (gained + lost))
    if mcnemar(*_outcomes(gained, lost, rest)).p_value <= 0.05:
        assert interval.excludes(0)  # the exact test is the stricter of the two


def test_its_coverage_is_close_to_its_level():
    n = 15
    tables = [t for t in itertools.product(range(n + 1), repeat=2) if sum(t) <= n]
    intervals = [paired_score_interval(*t, n) for t in tables]
    for gain, loss in ((0.0, 0.02), (0.05, 0.05), (0.1, 0.3), (0.4, 0.2)):
        chances = multinomial.pmf([[*t, n - sum(t)] for t in tables], n, [gain, loss, 1 - gain - loss])
        covered = sum(p for p, i in zip(chances, intervals, strict=True) if not i.excludes(gain - loss))
        assert covered >= 0.93


def _outcomes(gained, lost, rest):
    before = np.repeat([False, True, True], [gained, lost, rest])
    return before, np.repeat([True, False, True], [gained, lost, rest])


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_agrees_with_statsmodels(outcomes):
    before, after = np.array(outcomes).T
    table = [[np.sum((before == a) & (after == b)) for b in (True, False)] for a in (True, False)]
    result = mcnemar(before, after)
    assert (result.lost, result.gained) == (table[0][1], table[1][0])
    if result.lost + result.gained:
        assert result.p_value == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)
    else:
        assert result.p_value == 1
    if result.lost != result.gained:
        expected = statsmodels_mcnemar(table, exact=False, correction=True).pvalue
        assert mcnemar(before, after, exact=False).p_value == pytest.approx(expected)


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_is_twice_the_smaller_binomial_tail(gained, lost):
    n = gained + lost
    expected = min(1.0, 2 * binom.cdf(min(gained, lost), n, 0.5)) if n else 1.0
    assert mcnemar(*_outcomes(gained, lost, 1)).p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar([True], [True, False]), r"differ in length \(1 and 2\)"),
        (lambda: mcnemar([0.5], [True]), "other than true and false"),
        (lambda: paired_score_interval(3, 2, 4), "3 gained and 2 lost of 4"),
        (lambda: paired_score_interval(0, 0, 0), "0 gained and 0 lost of 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((InputError, TypeCheckError), match=message):  # runtime type checks may see it first
        call()
