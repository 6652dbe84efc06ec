"""Accuracies and errors against figures worked out by hand."""

import math

import numpy as np
import pytest
import torch

from trued.data.globe import RADIUS_KM
from trued.errors import InputError
from trued.representation.geoclip.metrics import distance_accuracy, error_curve, errors_km, game_score, summary

DEGREE = RADIUS_KM * math.pi / 180  # 111.19 km


def on_the_equator(*longitudes):
    return torch.tensor([[0.0, longitude] for longitude in longitudes])


def test_shares_count_the_errors_up_to_each_distance():
    true, predicted = on_the_equator(0, 0, 0, 180), on_the_equator(0, 1, 10, -179)
    np.testing.assert_allclose(errors_km(predicted, true), DEGREE * np.array([0, 1, 10, 1]), rtol=1e-5)
    assert distance_accuracy(predicted, true) == {1.0: 0.25, 25.0: 0.25, 200.0: 0.75, 750.0: 0.75, 2500.0: 1.0}
    assert distance_accuracy(predicted, true, km=(DEGREE * 1.001,)) == {DEGREE * 1.001: 0.75}
    found = summary(predicted, true)
    assert found["median km"] == pytest.approx(DEGREE, rel=1e-5)
    assert (found["street"], found["country"], found["continent"]) == (0.25, 0.75, 1.0)


def test_the_games_score():
    assert game_score(np.array([0.0])) == 5000
    assert game_score(np.array([1492.7, 0.0])) == pytest.approx(2500 * (1 + math.exp(-1)))


def test_the_curve_is_the_errors_own_distribution():
    errors = np.random.default_rng(0).exponential(1000, 257)
    km = np.array([0.0, *np.sort(errors)[[0, 100]], 1e5])
    expected = [(errors <= limit).mean() for limit in km]
    np.testing.assert_allclose(error_curve(errors, km), expected)


def test_each_picture_needs_a_prediction():
    with pytest.raises(InputError, match="2 predictions for 1 pictures"):
        errors_km(on_the_equator(0, 1), on_the_equator(0))
    with pytest.raises(InputError, match="one at least"):
        errors_km(torch.zeros(0, 2), torch.zeros(0, 2))
    with pytest.raises(InputError, match="latitude 95"):
        errors_km(torch.tensor([[95.0, 0.0]]), on_the_equator(0))
