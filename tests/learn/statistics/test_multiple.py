"""Holm's adjustment against statsmodels and against closed testing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from statsmodels.stats.multitest import multipletests

from trued.errors import InputError
from trued.learn.statistics import holm


@pytest.mark.parametrize("p_values", [[0.3], [0.01, 0.04, 0.03, 0.005], [0.02, 0.02, 0.9, 0.0], [1.0, 0.6, 0.5]])
def test_holm_agrees_with_statsmodels(p_values):
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values):
    """The adjusted value of a test is the largest Bonferroni p-value of any set of tests that holds it."""
    n = len(p_values)
    sets = [c for size in range(1, n + 1) for c in itertools.combinations(range(n), size)]
    expected = [max(min(1, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in range(n)]
    np.testing.assert_allclose(holm(p_values), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: holm([0.1, 1.2]), "range from 0.1 to 1.2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((InputError, TypeCheckError), match=message):  # runtime type checks may see it first
        call()
