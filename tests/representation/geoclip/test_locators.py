"""Located things, and the ways of locating them: what each is trained on, searched in and asked."""

import pytest
import torch

from trued.data.globe import haversine_km, to_sphere
from trued.learn.fit.loop import FitConfig
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.located import Located
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.locators import batched, nearest_thing, train_cells, train_geoclip, train_sphere
from trued.representation.geoclip.metrics import errors_km, game_score
from trued.representation.geoclip.model import GeoCLIPConfig
from trued.representation.geoclip.train import GeoCLIPTraining

FIT = FitConfig(steps=150, batch_size=64, lr=1e-2, warmup=0.0, validate_every=50)
LOCATION = LocationEncoderConfig(sigmas=(1.0, 4.0), features=16, hidden=32, depth=1, dim=16)
CONFIG = GeoCLIPConfig(24, 32, "painted", LOCATION)


@pytest.fixture(scope="module")
def things():
    return Located.painted(train=300)


def median(things, answer):
    return float(torch.tensor(things.errors("test", answer("test"))).median())


def test_features_are_standardised_by_the_training_split():
    raw = {"train": torch.tensor([[1.0, 7.0], [3.0, 7.0]]), "test": torch.tensor([[2.0, 8.0]])}
    places = {"train": torch.zeros(2, 2), "test": torch.zeros(1, 2)}
    things = Located.of(raw, places, torch.zeros(1, 2), backbone="none")
    assert things.features["train"].mean(0).tolist() == [0, 0]
    assert things.features["train"][:, 0].std() == pytest.approx(1)
    assert things.features["test"][0, 0] == 0
    torch.testing.assert_close(things.features["test"] * things.std + things.mean, raw["test"])
    assert torch.equal(things.coarse, things.gallery)


def test_another_training_split_leaves_the_rest(things):
    few = things.trained_on(torch.tensor([4, 2]))
    assert torch.equal(few.features["train"], things.features["train"][[4, 2]])
    assert torch.equal(few.places["train"], things.places["train"][[4, 2]])
    assert few.features["test"] is things.features["test"]
    views = things.trained_on(features=things.features["views"])
    assert views.features["train"].shape == (300, 2, 24)
    moved = things.trained_on(torch.arange(2), places=things.places["train"].flip(0))
    assert torch.equal(moved.places["train"], things.places["train"][[299, 298]])
    assert len(things.features["train"]) == 300


def test_the_score_is_the_games_on_validation(things):
    def north_pole(split):
        return torch.tensor([[90.0, 0.0]]).expand(len(things.places[split]), 2)

    expected = game_score(errors_km(north_pole("validation"), things.places["validation"]))
    assert things.score(north_pole) == pytest.approx(expected)
    assert things.errors("test", things.places["test"]).max() < 1e-3


def test_every_way_places_new_things_better_than_by_shuffled_places(things):
    shuffled = things.trained_on(places=things.places["train"].roll(1, 0))
    training = GeoCLIPTraining(32, 0.0, 0.0, None, FIT)
    ways = {
        "GeoCLIP": lambda on: train_geoclip(on, CONFIG, training)[1],
        "cells": lambda on: train_cells(on, FIT, sides=(20.0, 40.0), hidden=32),
        "sphere": lambda on: train_sphere(on, FIT, hidden=32),
        "nearest": nearest_thing,
    }
    for name, way in ways.items():
        assert median(things, way(things)) < 0.5 * median(things, way(shuffled)), name


def test_cells_are_of_the_side_that_is_best_in_validation(things):
    answers = {side: train_cells(things, FIT, sides=(side,), hidden=32) for side in (15.0, 170.0)}
    best = max(answers.values(), key=things.score)
    chosen = train_cells(things, FIT, sides=tuple(answers), hidden=32)
    assert things.score(answers[15.0]) != things.score(answers[170.0])
    torch.testing.assert_close(chosen("test"), best("test"))


def test_answers_are_of_the_gallery_and_in_validation_of_the_coarse_one(things):
    training = GeoCLIPTraining(0, 0.0, 0.0, None, FIT)
    _, answer = train_geoclip(things, CONFIG, training)
    for split, gallery in (("test", things.gallery), ("validation", things.coarse)):
        assert all((place == gallery).all(1).any() for place in answer(split))
    nearest = things.gallery[(to_sphere(things.places["test"]) @ to_sphere(things.gallery).T).argmax(1)]
    assert haversine_km(answer("test"), nearest).median() < 3000


def test_a_frozen_encoder_stays_and_its_gallery_is_searched_in_every_split(things):
    location = LocationEncoder(LOCATION, seed=5).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in location.state_dict().items()}
    gallery = Gallery.encode(things.gallery[:9], location)
    model, answer = train_geoclip(
        things, CONFIG, GeoCLIPTraining(0, 0.0, 0.0, None, FIT), location=location, gallery=gallery
    )
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.location.state_dict().items())
    assert all((place == things.gallery[:9]).all(1).any() for place in answer("validation"))


def test_a_batch_holds_no_row_twice():
    assert batched(FIT, 10).batch_size == 10
    assert batched(FIT, 1000).batch_size == 64
    assert batched(FIT, 10).steps == FIT.steps
