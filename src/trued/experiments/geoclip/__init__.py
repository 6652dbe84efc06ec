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

import numpy as np
import torch
from torch import Tensor

from trued.data.cities import draw, places_of
from trued.experiments.geoclip import report as shown
from trued.experiments.geoclip.data import Pictures, Words, encoders, labelled, pictures, words
from trued.lab.experiment import Lab, experiment
from trued.learn.fit.loop import FitConfig
from trued.representation.geoclip.backbone import SENTENCES
from trued.representation.geoclip.baselines import CellClassifier, SphereRegression, nearest_picture, one_guess
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.metrics import CONTINENT, COUNTRY, errors_km, game_score
from trued.representation.geoclip.model import GeoCLIP, GeoCLIPConfig
from trued.representation.geoclip.place_features import featurizers, linear_accuracy, nearest_accuracy
from trued.representation.geoclip.train import GeoCLIPTraining

TOO_LOW = 2.0**-8  # the whole map is then within a 256th of a period
CELLS = (5.0, 10.0, 20.0)  # degrees
_SMALL = LocationEncoderConfig(features=128, hidden=256, depth=2, dim=256)


@dataclass(frozen=True)
class Scale:
    """Sizes.

    Args:
        tile: pixels a side of a tile; 15 are a degree.
        pixels: that a tile is scaled to for the backbone.
        views: of each training picture, in the arm that sees views.
        grid: degrees between places of the gallery.
        location: shape of the location encoders that are trained here.
        hidden: width of every arm's head.
        steps, batch, lr: of every arm's training.
        validate_every: steps between validations.
        queue: places in the queue.
        noise_km: standard deviation of the noise on places.
        same_place_km: nearer places are no negatives.
        pool, tests: cities that labels are drawn from, and that are asked.
        labels: numbers of labelled cities; the first is the claim's.
        texts, text_tests: cities in words, of training and of each test.
        text_steps: of the head on words.
    """

    tile: int = 32
    pixels: int = 128
    views: int = 4
    grid: float = 1.0
    location: LocationEncoderConfig = _SMALL
    hidden: int = 512
    steps: int = 250
    batch: int = 128
    lr: float = 1e-3
    validate_every: int = 25
    queue: int = 512
    noise_km: float = 100.0
    same_place_km: float = 200.0
    pool: int = 8000
    tests: int = 2000
    labels: tuple[int, ...] = (250, 1000, 4000)
    texts: int = 4000
    text_tests: int = 1000
    text_steps: int = 200

    def fit(self, seed: int, steps: int | None = None) -> FitConfig:
        """The loop's settings, the same for every arm."""
        return FitConfig(
            steps=steps or self.steps, batch_size=self.batch, lr=self.lr, weight_decay=1e-6, warmup=0.05, seed=seed,
            validate_every=self.validate_every,
        )  # fmt: skip


_TINY = LocationEncoderConfig(features=8, hidden=16, depth=1, dim=16)
SCALES = {
    "tiny": Scale(
        location=_TINY, hidden=16, steps=4, batch=16, validate_every=2, queue=16, pool=60, tests=20, labels=(30, 40),
        texts=40, text_tests=12, text_steps=4,
    ),
    "desktop": Scale(),
    "full": Scale(
        tile=24, pixels=224, grid=0.5, location=LocationEncoderConfig(), hidden=1280, steps=2000, batch=512,
        validate_every=100, queue=4096, texts=12_000, text_steps=2000,
    ),
}  # fmt: skip


@experiment("geoclip", scales=SCALES, seeds=(0, 1, 2, 3, 4))
def run(lab: Lab) -> None:
    tiles, texts = pictures(lab), words(lab)
    for seed in lab.seeds:
        _locate(lab, tiles, seed)
        _classify(lab, seed)
        _read(lab, texts, seed)
    shown.protocol(lab, tiles, texts)
    shown.tables(lab)
    shown.figures(lab)


# -- pictures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """What an arm answered.

    Attributes:
        predicted: places of the test pictures.
        validation: the game's score on validation pictures, by which arms are chosen.
    """

    predicted: Tensor
    validation: float


def _locate(lab: Lab, tiles: Pictures, seed: int) -> None:
    arms, sigma = _arms(lab, tiles, seed)
    true = tiles.places["test"]
    errors = {name: errors_km(arm.predicted, true) for name, arm in arms.items()}
    near = {name: found <= COUNTRY for name, found in errors.items()}
    same_land = {name: found <= CONTINENT for name, found in errors.items()}
    median = {name: max(float(np.median(found)), 1.0) for name, found in errors.items()}  # a ratio needs more than 0
    best = shown.single(sigma)
    lab.measure("retrieval-beats-cells", seed, baseline=median["cells"], method=median["GeoCLIP"])
    lab.control("retrieval-beats-cells", seed, median["places shuffled"])
    lab.measure("scales-help", seed, baseline=near[best], method=near["GeoCLIP"])
    lab.control("scales-help", seed, near["three of the best σ"])
    lab.measure("fourier-needed", seed, baseline=near["no Fourier features"], method=near["GeoCLIP"])
    lab.control("fourier-needed", seed, near["σ too low"])
    lab.measure("queue-helps", seed, baseline=near["no queue"], method=near["GeoCLIP"])
    lab.measure("little-data", seed, baseline=same_land["GeoCLIP"], method=same_land["GeoCLIP, 20 %"])
    lab.control("little-data", seed, same_land["GeoCLIP, 2 %"])
    lab.record("errors", seed, {name: [round(float(km)) for km in found] for name, found in errors.items()})
    lab.record("best sigma", seed, sigma)
    if seed == lab.wanted[0]:
        shown.world_map(lab, tiles, arms["GeoCLIP"].predicted)


def _arms(lab: Lab, tiles: Pictures, seed: int) -> tuple[dict[str, Arm], float]:
    """Train every arm; return their answers, and the single frequency that was best on validation pictures."""
    scale: Scale = lab.scale
    location, sigmas = scale.location, scale.location.sigmas
    order = torch.randperm(len(tiles.places["train"]), generator=torch.Generator().manual_seed(seed))

    def arm(name: str, **changes: object) -> Arm:
        lab.log(f"seed {seed} · {name}")
        model, arm = _train(tiles, scale, seed, **changes)  # pyright: ignore[reportArgumentType]
        if name == "GeoCLIP" and seed == lab.wanted[0]:
            model.fold_standardization(tiles.mean, tiles.std)
            model.save(lab.folder / "blue-marble")
        return arm

    def share(part: float) -> Tensor:
        return order[: max(2, round(part * len(order)))]

    arms = {
        "GeoCLIP": arm("GeoCLIP"),
        "GeoCLIP, 20 %": arm("GeoCLIP, 20 %", rows=share(0.2)),
        "GeoCLIP, 2 %": arm("GeoCLIP, 2 %", rows=share(0.02)),
        **{shown.single(s): arm(shown.single(s), location=replace(location, sigmas=(s,))) for s in sigmas},
    }
    best = max(sigmas, key=lambda s: arms[shown.single(s)].validation)
    return arms | {
        "three of the best σ": arm("three of the best σ", location=replace(location, sigmas=(best,) * len(sigmas))),
        "no Fourier features": arm("no Fourier features", location=replace(location, sigmas=())),
        "σ too low": arm("σ too low", location=replace(location, sigmas=(TOO_LOW,) * len(sigmas))),
        "no queue": arm("no queue", queue=0),
        "random views": arm("random views", features=tiles.views),
        "places shuffled": arm("places shuffled", places=tiles.places["train"][order]),
        "cells": _best_cells(tiles, scale, seed, torch.arange(len(order))),
        "cells, 20 %": _best_cells(tiles, scale, seed, share(0.2)),
        "sphere regression": _sphere(tiles, scale, seed),
        "nearest picture": _nearest(tiles),
    }, best


def _train(
    tiles: Pictures, scale: Scale, seed: int, *, location: LocationEncoderConfig | None = None,
    queue: int | None = None, rows: Tensor | None = None, places: Tensor | None = None, features: Tensor | None = None,
) -> tuple[GeoCLIP, Arm]:  # fmt: skip
    features = tiles.features["train"] if features is None else features
    latlon = tiles.places["train"] if places is None else places
    config = GeoCLIPConfig(features.shape[-1], scale.hidden, tiles.backbone, location or scale.location)
    model = GeoCLIP(config, seed=seed)
    if rows is not None:
        features, latlon = features[rows], latlon[rows]
    size, noise = scale.queue if queue is None else queue, 1000 * scale.noise_km
    training = GeoCLIPTraining(size, noise, noise, scale.same_place_km, _fitting(scale, seed, len(features)))
    answer = partial(_place, model, tiles)
    training.train(model, features, latlon, validate=lambda _: _score(answer("validation"), tiles))
    return model.eval(), _arm(answer, tiles)


def _fitting(scale: Scale, seed: int, pictures: int) -> FitConfig:
    """As many steps for little data; a batch holds no picture twice."""
    return replace(scale.fit(seed), batch_size=min(scale.batch, pictures))


def _place(model: GeoCLIP, tiles: Pictures, split: str) -> Tensor:
    """Return the likeliest place of each picture: of the coarse gallery while validating."""
    gallery = Gallery.encode(tiles.gallery if split == "test" else tiles.coarse, model.location)
    return gallery.places[gallery.search(model.embed(tiles.features[split]), 1).indices[:, 0]]


def _arm(answer: Callable[[str], Tensor], tiles: Pictures) -> Arm:
    return Arm(answer("test"), _score(answer("validation"), tiles))


def _score(predicted: Tensor, tiles: Pictures) -> float:
    return game_score(errors_km(predicted, tiles.places["validation"]))


def _best_cells(tiles: Pictures, scale: Scale, seed: int, rows: Tensor) -> Arm:
    features, places = tiles.features["train"][rows], tiles.places["train"][rows]
    arms = []
    for degrees in CELLS:
        model = CellClassifier(features.shape[1], places, degrees=degrees, hidden=scale.hidden, seed=seed)
        answer = partial(_answer, model, tiles)
        config = _fitting(scale, seed, len(rows))
        model.train_on(features, config, validate=lambda _, answer=answer: _score(answer("validation"), tiles))
        arms.append(_arm(answer, tiles))
    return max(arms, key=lambda arm: arm.validation)


def _sphere(tiles: Pictures, scale: Scale, seed: int) -> Arm:
    features, places = tiles.features["train"], tiles.places["train"]
    model = SphereRegression(features.shape[1], hidden=scale.hidden, seed=seed)
    answer = partial(_answer, model, tiles)
    model.train_on(features, places, scale.fit(seed), validate=lambda _: _score(answer("validation"), tiles))
    return _arm(answer, tiles)


def _answer(model: CellClassifier | SphereRegression, tiles: Pictures, split: str) -> Tensor:
    return model.predict(tiles.features[split])


def _nearest(tiles: Pictures) -> Arm:
    known, places = tiles.features["train"], tiles.places["train"]
    return _arm(lambda split: nearest_picture(tiles.features[split], known, places), tiles)


# -- cities ------------------------------------------------------------------------------------------------------------


def _classify(lab: Lab, seed: int) -> None:
    """Country from coordinates, by a linear classifier on each kind of feature."""
    lab.log(f"seed {seed} · countries from coordinates")
    scale: Scale = lab.scale
    pool, tests = labelled(lab)
    truth, places = [city.country for city in tests], places_of(tests)
    released, untrained = encoders(lab, seed)
    ways = featurizers(released, untrained, seed=seed)
    found: dict[str, dict[str, list[bool]]] = {}
    asked = {name: way(places) for name, way in ways.items()}
    for count in scale.labels:
        known = draw(pool, count, seed)
        labels, at = [city.country for city in known], places_of(known)
        found[str(count)] = {
            name: linear_accuracy(way(at), labels, asked[name], truth) for name, way in ways.items()
        } | {"nearest city": nearest_accuracy(at, labels, places, truth)}  # fmt: skip
    few = found[str(scale.labels[0])]
    lab.measure("encoder-carries-over", seed, baseline=few["Fourier features"], method=few["GeoCLIP"])
    lab.control("encoder-carries-over", seed, few["untrained encoder"])
    lab.record("countries", seed, {count: {name: float(np.mean(right)) for name, right in one.items()}
                                   for count, one in found.items()})  # fmt: skip


# -- words -------------------------------------------------------------------------------------------------------------


def _read(lab: Lab, texts: Words, seed: int) -> None:
    """Bring words into the space of places, with the places that belong to them and with shuffled ones."""
    lab.log(f"seed {seed} · words")
    location, _ = encoders(lab, seed)
    location.requires_grad_(False)
    gallery = Gallery.encode(texts.gallery, location, keep=lab.scale_name != "tiny")
    places = texts.places("train")
    shuffled = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
    sets = ("seen countries", "unseen countries")
    models = {name: _train_words(lab, texts, seed, at, location, gallery)
              for name, at in (("words", places), ("shuffled", shuffled))}  # fmt: skip
    guess = one_guess(places, texts.gallery[:: max(1, len(texts.gallery) // 1000)])
    answers = {
        name: {
            part: gallery.places[gallery.search(model.embed(texts.features[part]), 1).indices[:, 0]] for part in sets
        }
        for name, model in models.items()
    } | {"one guess": {part: guess.expand(len(texts.cities[part]), 2) for part in sets}}
    errors = {
        name: {part: errors_km(at, texts.places(part)) for part, at in one.items()} for name, one in answers.items()
    }
    near = {name: one["unseen countries"] <= CONTINENT for name, one in errors.items()}
    lab.measure("text-finds-places", seed, baseline=near["one guess"], method=near["words"])
    lab.control("text-finds-places", seed, near["shuffled"])
    lab.record("words", seed, {name: {part: [round(float(km)) for km in found] for part, found in one.items()}
                               for name, one in errors.items()})  # fmt: skip
    if seed == lab.wanted[0]:
        model = models["words"]
        shown.heat_maps(lab, model, texts)
        model.fold_standardization(texts.mean, texts.std)
        model.save(lab.folder / "words")


def _train_words(
    lab: Lab, texts: Words, seed: int, places: Tensor, location: LocationEncoder, gallery: Gallery
) -> GeoCLIP:
    scale: Scale = lab.scale
    features = texts.features["train"]
    config = GeoCLIPConfig(features.shape[1], scale.hidden, SENTENCES)
    model = GeoCLIP(config, seed=seed, location=location)

    def validate(_: int) -> float:
        found = gallery.search(model.embed(texts.features["validation"]), 1)
        return game_score(errors_km(gallery.places[found.indices[:, 0]], texts.places("validation")))

    GeoCLIPTraining(0, 0.0, 0.0, 1.0, scale.fit(seed, scale.text_steps)).train(
        model, features, places, validate=validate
    )
    return model.eval()
