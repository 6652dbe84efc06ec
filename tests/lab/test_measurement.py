"""Numbers are checked where they come in: the message names claim, seed and arm."""

import numpy as np
import pytest
import torch

from trued.errors import InputError
from trued.lab.measurement import json_copy, values_of


def values(raw, claim):
    return values_of(raw, claim=claim, seed=2, role="method")


@pytest.mark.parametrize("raw", [0.5, [0.5], np.float32(0.5), np.array([0.5]), torch.tensor(0.5, dtype=torch.bfloat16)])
def test_numbers_arrays_and_tensors_mean_the_same(raw, claim):
    assert values(raw, claim()) == [0.5]


def test_booleans_are_shares(claim):
    assert values(np.array([True, False, True]), claim(unit="points")) == [1.0, 0.0, 1.0]


def test_six_digits_are_kept(claim):
    assert values([1 / 3, 123456.789], claim()) == [0.333333, 123457.0]


@pytest.mark.parametrize(
    ("raw", "options", "words"),
    [
        ([0.1, float("nan")], {}, "item 1 is nan"),
        ([float("inf")], {}, "not finite"),
        ([], {}, "shape (0,)"),
        ([[1.0, 2.0]], {}, "shape (1, 2)"),
        (["yes"], {}, "expected a number"),
        ([0.5, 85.0], {"unit": "points"}, "85 is no share"),
        ([1.0, 0.0], {"ratio": True, "margin": 2.0}, "needs positive numbers"),
    ],
)
def test_what_is_not_a_measurement_is_refused(raw, options, words, claim):
    with pytest.raises(InputError, match=r"claim 'better', seed 2, method") as error:
        values(raw, claim(**options))
    assert words in str(error.value)


def test_records_look_at_once_as_they_will_after_a_restart():
    assert json_copy({1: (2, 3)}, what="r") == {"1": [2, 3]}
    with pytest.raises(TypeError, match="record 'x'"):
        json_copy({"a": object()}, what="record 'x'")
    with pytest.raises(ValueError, match="None for a number that is missing"):
        json_copy([float("nan")], what="r")
