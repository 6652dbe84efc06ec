"""Accuracies and errors against figures worked out by hand."""

import math

import numpy as np
import pytest
import torch

from trued.data.globe import RADIUS_KM
from trued.errors import InputError
from trued.representation.geoclip.metrics import (
    distance_accuracy,
    error_curve,
    errors_km,
    game_score,
    spread_km,
    summary,
)

DEGREE = RADIUS_KM * math.pi / 180  # 111.19 km


def on_the_equator(*longitudes):
    return torch.tensor([[0.0, longitude] for longitude in longitudes])


def test_shares_count_the_errors_up_to_each_distance():
    true, predicted = on_the_equator(0, 0, 0, 180), on_the_equator(0, 1, 10, -179)
    np.testing.assert_allclose(errors_km(predicted, true), DEGREE * np.array([0, 1, 10, 1]), rtol=1e-5)
    assert distance_accuracy(predicted, true) == {1.0: 0.25, 25.0: 0.25, 200.0: 0.75, 750.0: 0.75, 2500.0: 1.0}
    assert distance_accuracy(predicted, true, km=(DEGREE * 1.001,)) == {DEGREE * 1.001: 0.75}
    result = summary(predicted, true)
    assert result["median km"] == pytest.approx(DEGREE, rel=1e-5)
    assert (result["street"], result["country"], result["continent"]) == (0.25, 0.75, 1.0)


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


def test_the_spread_is_where_half_of_the_probability_lies():
    places = torch.tensor([[0.0, 90.0], [0.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
    degree = RADIUS_KM * math.pi / 180
    shares = torch.tensor([0.2, 0.35, 0.25, 0.2])
    assert spread_km(places, shares) == pytest.approx(degree)  # 0.35, then 0.55
    assert spread_km(places, shares, 0.75) == pytest.approx(2 * degree)
    assert spread_km(places, shares, 1.0) == pytest.approx(90 * degree)
    assert spread_km(places[:1], torch.ones(1)) == 0


def test_a_gallery_of_which_the_likeliest_hold_little():
    """3,000 places: the first 2,000 hold two thirds, so half of their share is a third of the gallery's."""
    places = torch.stack([torch.zeros(3000), torch.arange(3000) * 0.05], 1)
    shares = torch.full((3000,), 1 / 3000) * (1 + 1e-6 * (3000 - torch.arange(3000)) / 3000)
    assert spread_km(places, shares / shares.sum()) == pytest.approx(RADIUS_KM * math.radians(1499 * 0.05), rel=2e-3)
    with pytest.raises(InputError, match="2 places and 3 probabilities"):
        spread_km(places[:2], shares[:3])
    with pytest.raises(InputError, match="share is 0"):
        spread_km(places, shares, 0)
