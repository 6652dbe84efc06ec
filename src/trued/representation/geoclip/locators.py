"""Ways of locating things, trained on the same splits and asked alike: GeoCLIP, and what it is compared with.

Each keeps the weights of its best validation, by the geography game's score.

Knows located things and the ways. Knows nothing of what is measured on the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from trued.learn.fit.loop import FitConfig
from trued.representation.geoclip.baselines import CellClassifier, SphereRegression, nearest_picture
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.located import Answer, Located
from trued.representation.geoclip.location_encoder import LocationEncoder
from trued.representation.geoclip.model import GeoCLIP, GeoCLIPConfig
from trued.representation.geoclip.train import GeoCLIPTraining


def train_geoclip(
    things: Located, config: GeoCLIPConfig, training: GeoCLIPTraining, *, location: LocationEncoder | None = None,
    gallery: Gallery | None = None,
) -> tuple[GeoCLIP, Answer]:  # fmt: skip
    """Train GeoCLIP.

    Args:
        things: whose "train" it is trained on; several views of each are allowed.
        config: of the model.
        training: its `fit` gives the seed of the weights, too; a batch holds nothing twice.
        location: an encoder to use in place of a fresh one; where it is frozen, only the head is trained.
        gallery: to answer from, where the location encoder is frozen; otherwise the things' galleries are encoded anew
            for each answer, the coarse one in validation.

    Returns:
        The model and its answers.
    """
    features, places = things.features["train"], things.places["train"]
    model = GeoCLIP(config, seed=training.fit.seed, location=location)

    def answer(split: str) -> Tensor:
        if gallery is not None:
            return model.locate(things.features[split], gallery)
        searched = things.coarse if split == "validation" else things.gallery
        return model.locate(things.features[split], Gallery.encode(searched, model.location))

    training = replace(training, fit=batched(training.fit, len(features)))
    training.train(model, features, places, validate=lambda _: things.score(answer))
    return model.eval(), answer


def train_cells(things: Located, fit: FitConfig, *, sides: Sequence[float], hidden: int) -> Answer:
    """Train a classifier of map cells for each side in degrees, and answer with the best of them in validation."""
    features, answers = things.features["train"], []
    for degrees in sides:
        model = CellClassifier(
            features.shape[1], things.places["train"], degrees=degrees, hidden=hidden, seed=fit.seed
        )  # fmt: skip
        answers.append(_answer(model, things))
        score = _score(answers[-1], things)
        model.train_on(features, batched(fit, len(features)), validate=score)
    return max(answers, key=things.score)


def train_sphere(things: Located, fit: FitConfig, *, hidden: int) -> Answer:
    """Train the regression of places on the sphere."""
    features = things.features["train"]
    model = SphereRegression(features.shape[1], hidden=hidden, seed=fit.seed)
    answer = _answer(model, things)
    fit = batched(fit, len(features))
    model.train_on(features, things.places["train"], fit, validate=_score(answer, things))
    return answer


def nearest_thing(things: Located) -> Answer:
    """Answer with the place of the most similar training picture."""
    return lambda split: nearest_picture(things.features[split], things.features["train"], things.places["train"])


def batched(fit: FitConfig, rows: int) -> FitConfig:
    """Return the settings for so many rows: as many steps, and no row twice in a batch."""
    return replace(fit, batch_size=min(fit.batch_size or rows, rows))


def _answer(model: CellClassifier | SphereRegression, things: Located) -> Answer:
    return lambda split: model.predict(things.features[split])


def _score(answer: Answer, things: Located) -> Callable[[int], float]:
    return lambda _: things.score(answer)
