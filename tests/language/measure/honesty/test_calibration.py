"""Calibration against closed forms."""

import numpy as np
import pytest

from trued.errors import InputError
from trued.language.measure.honesty.calibration import Bin, calibration, stated_calibration


def test_a_confidence_that_means_what_it_says():
    result = calibration([0.75] * 4 + [0.25] * 4, [True, True, True, False, True, False, False, False])
    assert result.ece == pytest.approx(0)
    assert result.brier == pytest.approx(0.75 * 0.25)
    assert result.bins == (Bin(4, 0.25, 0.25), Bin(4, 0.75, 0.75))


def test_a_confidence_that_does_not():
    result = calibration([1.0, 1.0, 0.0], [False, False, True])
    assert result.ece == result.brier == 1


def test_bins_are_of_equal_width_and_one_belongs_to_the_last():
    rng = np.random.default_rng(0)
    p, hit = rng.random(500), rng.random(500) < 0.5
    gaps = [
        abs(p[inside].mean() - hit[inside].mean()) * inside.sum()
        for low in np.arange(5) / 5
        if (inside := (p >= low) & (p < low + 0.2)).any()
    ]
    assert calibration(p, hit, bins=5).ece == pytest.approx(sum(gaps) / 500)
    assert len(calibration([0.95, 1.0], [True, True]).bins) == 1


@pytest.mark.parametrize(("p", "hit", "bins", "match"), [
    ([], [], 10, "0 confidences"), ([0.5], [True, False], 10, "1 confidences and 2"), ([50], [True], 10, "0 to 1"),
    ([0.5], [True], 0, "bins is 0"),
])  # fmt: skip
def test_bad_input(p, hit, bins, match):
    with pytest.raises(InputError, match=match):
        calibration(p, hit, bins=bins)


def test_the_means_are_those_of_all_replies():
    result = calibration([0.1, 0.2, 0.9], [False, True, True])
    assert result.confidence == pytest.approx(0.4)
    assert result.accuracy == pytest.approx(2 / 3)


def test_replies_that_state_no_confidence_are_left_out():
    stated = {"sure": 1.0, "hardly": 0.25, "plain": None}.get
    result = stated_calibration(["sure", "plain", "hardly", "plain"], [1, 1, 0, 0], stated)
    expected = calibration([1.0, 0.25], [True, False])
    assert result == {"n": 2, "confidence": 0.625, "accuracy": 0.5, "ece": expected.ece, "brier": expected.brier}
    assert stated_calibration(["plain"], [True], stated) == {"n": 0}
