"""Cities, and places as features of a linear classifier."""

import pytest
import torch

from trued.data.cities import cities, draw, places_of
from trued.errors import InputError
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.place_features import (
    accuracies,
    featurizers,
    linear_accuracy,
    nearest_accuracy,
    random_fourier,
)

SMALL = LocationEncoderConfig(features=8, hidden=16, depth=1, dim=12)


def test_cities_have_a_country_and_a_place_on_the_globe():
    table = cities()
    assert len(table) > 30_000
    paris = next(city for city in table if city.name == "Paris" and city.country == "France")
    assert (paris.continent, round(paris.latitude), round(paris.longitude)) == ("Europe", 49, 2)
    places = places_of(table)
    assert places.shape == (len(table), 2)
    assert (places.abs().max(0).values <= torch.tensor([90.0, 180.0])).all()


def test_a_draw_is_its_seeds_and_repeats_no_city():
    table = cities()[:500]
    assert draw(table, 100, 1) == draw(table, 100, 1)
    assert draw(table, 100, 1) != draw(table, 100, 2)
    assert len(set(draw(table, 500, 3))) == 500
    with pytest.raises(InputError, match="give 1 to 500"):
        draw(table, 501, 0)


def test_every_way_gives_a_row_a_place():
    places = places_of(cities()[:9])
    ways = featurizers(LocationEncoder(SMALL), LocationEncoder(SMALL, seed=1), seed=0)
    assert {name: tuple(way(places).shape) for name, way in ways.items()} == {
        "latitude and longitude": (9, 2), "unit sphere": (9, 3), "Fourier features": (9, 48),
        "untrained encoder": (9, 12), "GeoCLIP": (9, 12),
    }  # fmt: skip
    assert torch.equal(random_fourier(SMALL, seed=4)(places), random_fourier(SMALL, seed=4)(places))
    assert not torch.equal(random_fourier(SMALL, seed=4)(places), random_fourier(SMALL, seed=5)(places))


def test_a_linear_classifier_and_the_nearest_place_find_a_border():
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.rand(n, 2, generator=generator) * 40 - 20 for n in (200, 100))
    labels, truth = ([["south", "north"][int(row[0] > 0)] for row in rows] for rows in (train, test))
    assert sum(linear_accuracy(train, labels, test, truth)) > 90
    assert sum(nearest_accuracy(train, labels, test, truth)) > 90
    turned = [{"south": "north", "north": "south"}[label] for label in labels]
    assert sum(linear_accuracy(train, turned, test, truth)) < 10


def test_the_nearest_place_is_taken_across_the_antimeridian():
    train = torch.tensor([[0.0, -179.0], [0.0, 150.0]])
    assert nearest_accuracy(train, ["here", "there"], torch.tensor([[0.0, 179.0]]), ["here"]) == [True]


def test_a_classifier_needs_labels():
    rows = torch.zeros(2, 2)
    with pytest.raises(InputError, match="one for each"):
        linear_accuracy(rows, ["a"], rows, ["a", "b"])
    with pytest.raises(InputError, match="two different ones"):
        linear_accuracy(rows, ["a", "a"], rows, ["a", "b"])


def test_every_way_is_asked_about_the_same_places():
    train = torch.tensor([[0.0, 10.0], [0.0, 12.0], [0.0, 50.0], [0.0, 52.0]])
    test, labels, truth = torch.tensor([[0.0, 11.0], [0.0, 51.0]]), ["a", "a", "b", "b"], ["a", "b"]
    ways = {"both": lambda latlon: latlon, "latitude alone": lambda latlon: latlon[:, :1]}
    right = accuracies(ways, train, labels, test, truth)
    assert right["both"] == linear_accuracy(train, labels, test, truth) == [True, True]
    assert sum(right["latitude alone"]) == 1  # it says nothing, so one label is given to both
