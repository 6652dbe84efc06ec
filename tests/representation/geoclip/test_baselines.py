"""The methods that GeoCLIP is compared with, on places that a picture gives away."""

import pytest
import torch

from trued.data.globe import from_sphere, haversine_km, to_sphere
from trued.errors import InputError
from trued.learn.fit.loop import FitConfig
from trued.representation.geoclip.baselines import CellClassifier, SphereRegression, nearest_picture, one_guess

FIT = FitConfig(steps=150, batch_size=64, lr=1e-2, warmup=0.0)


def world(count, seed):
    places = from_sphere(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)))
    return to_sphere(places), places


def test_cells_are_squares_with_the_middle_of_their_places():
    places = torch.tensor([[1.0, 1.0], [3.0, 5.0], [-1.0, 1.0], [1.0, 11.0], [1.0, 1.0]])
    net = CellClassifier(3, places, degrees=10.0)
    assert net.classes[0] == net.classes[1] == net.classes[4]
    assert len(set(net.classes.tolist())) == 3
    middle = from_sphere(to_sphere(places[[0, 1, 4]]).sum(0))
    torch.testing.assert_close(net.centres[net.classes[0]], middle)


def test_a_cell_across_the_equator_of_longitudes_has_no_gap():
    places = torch.tensor([[0.5, 179.0], [0.5, -179.0], [0.5, 180.0]])
    assert len(CellClassifier(3, places, degrees=5.0).centres) == 3  # 180 opens a cell of its own at the map's edge


@pytest.mark.parametrize("way", ["cells", "sphere"])
def test_both_learn_to_place_new_pictures(way):
    (features, places), (pictures, true) = world(400, 0), world(50, 1)
    if way == "cells":
        net = CellClassifier(3, places, degrees=20.0, hidden=32)
        untrained = net.predict(pictures)
        net.train_on(features, FIT)
    else:
        net = SphereRegression(3, hidden=32)
        untrained = net.predict(pictures)
        net.train_on(features, places, FIT)
    before, after = (haversine_km(result, true).median().item() for result in (untrained, net.predict(pictures)))
    assert after < 1500
    assert after < before / 3


def test_the_nearest_picture_answers_with_its_place():
    features, places = world(30, 2)
    assert torch.equal(nearest_picture(3 * features[[4, 7]], features, places), places[[4, 7]])


def test_one_guess_is_where_most_places_are_near():
    places = torch.tensor([[0.0, 0.0], [0.0, 10.0], [0.0, -175.0], [0.0, 175.0], [0.0, 170.0]])
    candidates = torch.tensor([[0.0, 5.0], [0.0, 180.0], [0.0, 90.0]])
    assert torch.equal(one_guess(places, candidates), candidates[1])
    assert torch.equal(one_guess(places, candidates, km=600.0), candidates[0])


@pytest.mark.parametrize("degrees", [0.0, -1.0, 200.0])
def test_cells_have_a_size(degrees):
    with pytest.raises(InputError, match="above 0 and up to 180"):
        CellClassifier(3, world(3, 0)[1], degrees=degrees)
