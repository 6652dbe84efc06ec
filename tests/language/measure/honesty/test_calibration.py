"""Calibration against closed forms."""

import numpy as np
import pytest

from trued.errors import InputError
from trued.language.measure.honesty.calibration import Bin, calibration


def test_a_confidence_that_means_what_it_says():
    found = calibration([0.75] * 4 + [0.25] * 4, [True, True, True, False, True, False, False, False])
    assert found.ece == pytest.approx(0)
    assert found.brier == pytest.approx(0.75 * 0.25)
    assert found.bins == (Bin(4, 0.25, 0.25), Bin(4, 0.75, 0.75))


def test_a_confidence_that_does_not():
    found = calibration([1.0, 1.0, 0.0], [False, False, True])
    assert found.ece == found.brier == 1


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
