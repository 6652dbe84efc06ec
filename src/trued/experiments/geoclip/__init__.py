"""Does retrieval over coordinates locate pictures, and what of it does the work? (geoclip, 2309.16020)

Three parts. In the first, tiles of the Blue Marble are located; whole blocks of the map are held out, and the gallery
is a grid on land that knows nothing of the tiles. Every arm has the same features, pictures, steps, batch and learning
rate, and keeps the weights of its best validation:
- GeoCLIP, and the same on 20 % and on 2 % of the training tiles;
- one frequency alone (three arms), three capsules of the best of them, no Fourier features, frequencies too low;
- no queue; random views of the training pictures in place of the pictures; places shuffled (the control);
- classification of map cells (their side chosen on validation tiles), regression to the sphere, nearest picture.
In the second, the released encoder gives features to a linear classifier of countries. In the third, names of cities
are brought into the released encoder's space, and looked for in countries that were never trained on.
Nothing below was tuned on test tiles or test cities. As the learning rate, 1e-3 and 3e-4 were compared for the arms on
validation tiles with one seed: the baselines were better with 1e-3, GeoCLIP and GeoCLIP without a queue with 3e-4, by
3 %; 1e-3 is everybody's. Places within 200 km, two standard deviations of the noise, are no negatives of each other;
that was chosen with the noise, for GeoCLIP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trued.data.cities import draw, places_of
from trued.experiments.geoclip.data import SEEN, UNSEEN, encoders, labelled, pictures, words
from trued.experiments.geoclip.report import describe, heat_maps, present, single, world_map
from trued.lab.arms import at_most
from trued.lab.experiment import Lab, experiment
from trued.learn.fit.loop import FitConfig
from trued.representation.geoclip.baselines import one_guess
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.located import Answer, Located
from trued.representation.geoclip.location_encoder import LocationEncoderConfig
from trued.representation.geoclip.locators import nearest_thing, train_cells, train_geoclip, train_sphere
from trued.representation.geoclip.metrics import CONTINENT, COUNTRY
from trued.representation.geoclip.model import GeoCLIPConfig
from trued.representation.geoclip.place_features import accuracies, featurizers, nearest_accuracy
from trued.representation.geoclip.train import GeoCLIPTraining

TOO_LOW = 2.0**-8  # the whole map is then within a 256th of a period
CELLS = (5.0, 10.0, 20.0)  # degrees
FIT = FitConfig(steps=250, batch_size=128, lr=1e-3, weight_decay=1e-6, warmup=0.05, validate_every=25)
TRAINING = GeoCLIPTraining(queue_size=512, batch_noise_m=1e5, queue_noise_m=1e5, same_place_km=200.0, fit=FIT)
LOCATION = LocationEncoderConfig(features=128, hidden=256, depth=2, dim=256)


@dataclass(frozen=True)
class Scale:
    """Sizes of one run.

    Args:
        tile, pixels: a side of a tile, of which 15 are a degree, and what it is scaled to for the backbone.
        views: of each training picture, in the arm that sees views.
        grid: degrees between places of the gallery.
        location, hidden: shape of the location encoders that are trained here, and width of every arm's head.
        training: of every arm; noise on places in metres, and distances below which they are no negatives.
        pool, tests: cities that labels are drawn from, and that are tested on.
        labels: numbers of labelled cities; the first is the claim's.
        texts, text_tests, text_steps: sentences about cities, for training and each test, and steps of the head.
    """

    tile: int = 32
    pixels: int = 128
    views: int = 4
    grid: float = 1.0
    location: LocationEncoderConfig = LOCATION
    hidden: int = 512
    training: GeoCLIPTraining = TRAINING
    pool: int = 8000
    tests: int = 2000
    labels: tuple[int, ...] = (250, 1000, 4000)
    texts: int = 4000
    text_tests: int = 1000
    text_steps: int = 200


SCALES = {
    "tiny": Scale(
        location=LocationEncoderConfig(features=8, hidden=16, depth=1, dim=16), hidden=16,
        training=replace(TRAINING, queue_size=16, fit=replace(FIT, steps=4, batch_size=16, validate_every=2)),
        pool=60, tests=20, labels=(30, 40), texts=40, text_tests=12, text_steps=4,
    ),
    "desktop": Scale(),
    "full": Scale(
        tile=24, pixels=224, grid=0.5, location=LocationEncoderConfig(), hidden=1280, texts=12_000, text_steps=2000,
        training=replace(TRAINING, queue_size=4096, fit=replace(FIT, steps=2000, batch_size=512, validate_every=100)),
    ),
}  # fmt: skip


@experiment("geoclip", scales=SCALES, seeds=(0, 1, 2, 3, 4))
def run(lab: Lab) -> None:
    """Locate tiles, tell countries from coordinates, and locate words, for each seed."""
    tiles, texts = pictures(lab), words(lab)
    describe(lab, tiles, texts)
    for seed in lab.seeds:
        locate(lab, tiles, seed)
        classify(lab, seed)
        read(lab, texts, seed)
    present(lab, list(arms_of(lab, tiles, 0)))


def locate(lab: Lab, tiles: Located, seed: int) -> None:
    """Train every arm on tiles, and measure how far off it places those of the blocks that were held out."""
    for name, train in arms_of(lab, tiles, seed).items():
        lab.log(f"seed {seed} · {name}")
        answer = train()
        predicted = answer("test")
        lab.record(name, seed, {"km": tiles.errors("test", predicted).tolist(), "validation": tiles.score(answer)})
        if name == "GeoCLIP" and lab.is_first(seed):
            world_map(lab, tiles, predicted)
    country, continent = at_most("km", COUNTRY), at_most("km", CONTINENT)
    best = single(best_frequency(lab, seed))
    lab.compare("retrieval-beats-cells", seed, median, baseline="cells", method="GeoCLIP", control="places shuffled")
    lab.compare("scales-help", seed, country, baseline=best, method="GeoCLIP", control="three of the best σ")
    lab.compare("fourier-needed", seed, country, baseline="no Fourier features", method="GeoCLIP", control="σ too low")
    lab.compare("queue-helps", seed, country, baseline="no queue", method="GeoCLIP")
    lab.compare("little-data", seed, continent, baseline="GeoCLIP", method="GeoCLIP, 20 %", control="GeoCLIP, 2 %")


def median(record: dict[str, Any]) -> float:
    """Return the median error, which a ratio needs above 0."""
    return max(float(np.median(record["km"])), 1.0)


def best_frequency(lab: Lab, seed: int) -> float:
    """Return the single frequency that was best on validation pictures."""
    return max(lab.scale.location.sigmas, key=lambda sigma: lab.records(single(sigma))[seed]["validation"])


def arms_of(lab: Lab, tiles: Located, seed: int) -> dict[str, Callable[[], Answer]]:
    """Return what trains each arm; the single frequencies come before the arm that takes the best of them."""
    scale, sigmas = lab.scale, lab.scale.location.sigmas
    order = torch.randperm(len(tiles.places["train"]), generator=torch.Generator().manual_seed(seed))
    fit = replace(scale.training.fit, seed=seed)

    def share(part: float) -> Located:
        return tiles.trained_on(order[: max(2, round(part * len(order)))])

    def frequencies(*sigma_values: float) -> LocationEncoderConfig:
        return replace(scale.location, sigmas=sigma_values)

    def retrieval(
        things: Located = tiles, location: LocationEncoderConfig = scale.location, folder: str = "", **changes: Any
    ) -> Answer:
        config = GeoCLIPConfig(tiles.features["train"].shape[1], scale.hidden, tiles.backbone, location)
        model, answer = train_geoclip(things, config, replace(scale.training, fit=fit, **changes))
        if folder:
            model.fold_standardization(tiles.mean, tiles.std).save(lab.folder / folder)
        return answer

    cells = partial(train_cells, fit=fit, sides=CELLS, hidden=scale.hidden)
    return {
        "GeoCLIP": partial(retrieval, folder="blue-marble" if lab.is_first(seed) else ""),
        "GeoCLIP, 20 %": partial(retrieval, share(0.2)),
        "GeoCLIP, 2 %": partial(retrieval, share(0.02)),
        **{single(sigma): partial(retrieval, location=frequencies(sigma)) for sigma in sigmas},
        "three of the best σ": lambda: retrieval(location=frequencies(*[best_frequency(lab, seed)] * len(sigmas))),
        "no Fourier features": partial(retrieval, location=frequencies()),
        "σ too low": partial(retrieval, location=frequencies(*[TOO_LOW] * len(sigmas))),
        "no queue": partial(retrieval, queue_size=0),
        "random views": partial(retrieval, tiles.trained_on(features=tiles.features["views"])),
        "places shuffled": partial(retrieval, tiles.trained_on(places=tiles.places["train"][order])),
        "cells": partial(cells, tiles),
        "cells, 20 %": partial(cells, share(0.2)),
        "sphere regression": partial(train_sphere, tiles, fit, hidden=scale.hidden),
        "nearest picture": partial(nearest_thing, tiles),
    }


def classify(lab: Lab, seed: int) -> None:
    """Tell countries from coordinates, by a linear classifier on each kind of feature."""
    lab.log(f"seed {seed} · countries from coordinates")
    pool, tests = labelled(lab)
    truth, places = [city.country for city in tests], places_of(tests)
    ways = featurizers(*encoders(lab, seed), seed=seed)
    shares: dict[str, dict[str, float]] = {}
    for count in lab.scale.labels:
        known = draw(pool, count, seed)
        labels, at = [city.country for city in known], places_of(known)
        right = accuracies(ways, at, labels, places, truth)
        right["nearest city"] = nearest_accuracy(at, labels, places, truth)
        if count == lab.scale.labels[0]:
            lab.measure("encoder-carries-over", seed, baseline=right["Fourier features"], method=right["GeoCLIP"],
                        control=right["untrained encoder"])  # fmt: skip
        for name, row in right.items():
            shares.setdefault(name, {})[str(count)] = float(np.mean(row))
    lab.record("countries", seed, shares)


def read(lab: Lab, texts: Located, seed: int) -> None:
    """Bring words into the space of places, with the places that belong to them and with shuffled ones."""
    lab.log(f"seed {seed} · words")
    scale: Scale = lab.scale
    location = encoders(lab, seed)[0].requires_grad_(False)
    gallery = Gallery.encode(texts.gallery, location, keep=lab.scale_name != "tiny")
    places, fit = texts.places["train"], replace(scale.training.fit, seed=seed, steps=scale.text_steps)
    mixed = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
    config = GeoCLIPConfig(texts.features["train"].shape[1], scale.hidden, texts.backbone)

    def record(name: str, answer: Answer) -> None:
        lab.record(name, seed, {part: texts.errors(part, answer(part)).tolist() for part in (SEEN, UNSEEN)})

    for name, things in (("words", texts), ("shuffled", texts.trained_on(places=mixed))):
        training = GeoCLIPTraining(0, 0.0, 0.0, 1.0, fit)
        model, answer = train_geoclip(things, config, training, location=location, gallery=gallery)
        record(name, answer)
        if name == "words" and lab.is_first(seed):
            heat_maps(lab, model, texts)
            model.fold_standardization(texts.mean, texts.std).save(lab.folder / "words")
    guess: Tensor = one_guess(places, texts.gallery[:: max(1, len(texts.gallery) // 1000)])
    record("one guess", lambda part: guess.expand_as(texts.places[part]))
    away = at_most(UNSEEN, CONTINENT)
    lab.compare("text-finds-places", seed, away, baseline="one guess", method="words", control="shuffled")
