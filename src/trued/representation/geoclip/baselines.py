"""What GeoCLIP is compared with: classifying map cells, regressing coordinates, and the most similar known picture.

The first two train a head as wide as GeoCLIP's on the same features, by the same loop.

Knows features and places. Knows nothing of location encoders.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from trued.data.globe import check_places, from_sphere, haversine_km, to_sphere
from trued.errors import InputError
from trued.learn.fit.loop import FitConfig, fit
from trued.learn.unit import unit_rows

Validate = Callable[[int], float]


class CellClassifier(nn.Module):
    """PlaNet's way (Weyand et al. 2016): cut the map into cells, classify, and answer with a cell's centre.

    A cell's centre is the mean of its training places on the sphere, which errs less than the middle of its rectangle.

    Args:
        features: width of the features.
        places: of the training pictures; only cells that hold one are classes.
        degrees: side of a cell.
        hidden: width of the head's hidden layer.
        seed: decides the first weights.

    Raises:
        InputError: a side that is not above 0 and up to 180, or coordinates that are no place.
    """

    def __init__(
        self,
        features: int,
        places: Float[Tensor, "pictures 2"],
        *,
        degrees: float = 10.0,
        hidden: int = 512,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < degrees <= 180:
            raise InputError(f"cells of {degrees:g} degrees: give a side above 0 and up to 180")
        self.classes: Int[Tensor, " pictures"]
        row, column = ((check_places(places) + torch.tensor([90.0, 180.0])) / degrees).floor().long().unbind(-1)
        _, self.classes = (row * (math.ceil(360 / degrees) + 1) + column).unique(return_inverse=True)
        count = int(self.classes.max()) + 1
        sums = torch.zeros(count, 3).index_add_(0, self.classes, to_sphere(places.float()))
        self.centres: Float[Tensor, "cells 2"] = from_sphere(sums)
        self.head = _head(features, hidden, count, seed)

    def train_on(
        self, features: Float[Tensor, "pictures features"], config: FitConfig, *, validate: Validate | None = None
    ) -> None:
        """Train by cross-entropy on the pictures whose places made the cells; `validate` is as in `fit`."""
        classes = self.classes

        def loss(_: nn.Module, rows: Tensor) -> dict[str, Tensor]:
            return {"loss": F.cross_entropy(self.head(features[rows]), classes[rows])}

        fit(self, loss, range(len(features)), config, collate=torch.tensor, validate=validate, progress=False)

    @torch.no_grad()
    def predict(self, features: Float[Tensor, "pictures features"]) -> Float[Tensor, "pictures 2"]:
        """Return the centre of each picture's likeliest cell."""
        return self.centres[self.head(features).argmax(1)]


class SphereRegression(nn.Module):
    """Regress the place as a unit vector: the loss is one minus the cosine of the angle to the true one.

    Args:
        features: width of the features.
        hidden: width of the head's hidden layer.
        seed: decides the first weights.
    """

    def __init__(self, features: int, *, hidden: int = 512, seed: int = 0) -> None:
        super().__init__()
        self.head = _head(features, hidden, 3, seed)

    def train_on(
        self, features: Float[Tensor, "pictures features"], places: Float[Tensor, "pictures 2"], config: FitConfig, *,
        validate: Validate | None = None,
    ) -> None:  # fmt: skip
        """Train on pictures and their places; `validate` is as in `fit`.

        Raises:
            InputError: coordinates that are no place.
        """
        target = to_sphere(check_places(places).float())

        def loss(_: nn.Module, rows: Tensor) -> dict[str, Tensor]:
            return {"loss": (1 - F.cosine_similarity(self.head(features[rows]), target[rows])).mean()}

        fit(self, loss, range(len(features)), config, collate=torch.tensor, validate=validate, progress=False)

    @torch.no_grad()
    def predict(self, features: Float[Tensor, "pictures features"]) -> Float[Tensor, "pictures 2"]:
        """Return the place that each picture's vector points to."""
        return from_sphere(self.head(features))


def nearest_picture(
    features: Float[Tensor, "pictures features"],
    known: Float[Tensor, "known features"],
    places: Float[Tensor, "known 2"],
) -> Float[Tensor, "pictures 2"]:
    """Return the place of the most similar known picture, by cosine: image-to-image retrieval."""
    return places[(unit_rows(features) @ unit_rows(known).T).argmax(1)]


def one_guess(
    places: Float[Tensor, "pictures 2"], candidates: Float[Tensor, "candidates 2"], *, km: float = 2500.0
) -> Tensor:
    """Return the candidate that has the most places within `km`: the best answer without looking."""
    near = torch.stack([(haversine_km(place[None], places) <= km).sum() for place in candidates])
    return candidates[near.argmax()]


def _head(features: int, hidden: int, out: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, out))
