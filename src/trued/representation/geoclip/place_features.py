"""A place as numbers for a classifier: what GeoCLIP's encoder gives, and the simpler ways that it is compared with.

Knows places and a linear classifier on them. Knows nothing of what the labels mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.globe import equal_earth, haversine_km, to_sphere
from trued.errors import InputError
from trued.representation.geoclip.location_encoder import FourierFeatures, LocationEncoder, LocationEncoderConfig

Featurizer = Callable[[Tensor], Tensor]


def random_fourier(config: LocationEncoderConfig = LocationEncoderConfig(), *, seed: int = 0) -> Featurizer:  # noqa: B008
    """Return the Fourier features of an encoder without its layers: all frequencies side by side, drawn by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    banks = [FourierFeatures(sigma, config.features, generator) for sigma in config.sigmas]
    return lambda latlon: torch.cat([bank(equal_earth(latlon.float())) for bank in banks], dim=-1)


def featurizers(released: LocationEncoder, untrained: LocationEncoder, *, seed: int) -> dict[str, Featurizer]:
    """Return the ways to turn places into numbers, by their names."""
    return {
        "latitude and longitude": lambda latlon: latlon,
        "unit sphere": to_sphere,
        "Fourier features": random_fourier(released.config, seed=seed),
        "untrained encoder": untrained.embed,
        "GeoCLIP": released.embed,
    }


def linear_accuracy(
    train: Float[Tensor, "places features"],
    labels: Sequence[str],
    test: Float[Tensor, "tests features"],
    truth: Sequence[str],
    *,
    C: float = 0.1,
) -> list[bool]:
    """Fit a logistic regression on standardised features and tell which test labels it gets right.

    Args:
        train, labels: what it is fitted on.
        test, truth: what it is asked.
        C: the inverse strength of its L2 penalty.

    Raises:
        InputError: not a label for each place, or fewer than two different labels.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(train) != len(labels) or len(test) != len(truth):
        raise InputError(
            f"{len(train)} and {len(test)} places, {len(labels)} and {len(truth)} labels: give one for each"
        )
    if len(set(labels)) < 2:
        raise InputError(
            f"the labels are all {labels[0] if labels else 'missing'}: a classifier needs two different ones"
        )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=500))
    model.fit(train.numpy(), np.asarray(labels))
    return (model.predict(test.numpy()) == np.asarray(truth)).tolist()


def accuracies(
    ways: Mapping[str, Featurizer], train: Float[Tensor, "places 2"], labels: Sequence[str],
    test: Float[Tensor, "tests 2"], truth: Sequence[str],
) -> dict[str, list[bool]]:  # fmt: skip
    """Return for each way to turn places into numbers which test labels a linear classifier on them gets right.

    Raises:
        InputError: as `linear_accuracy`.
    """
    return {name: linear_accuracy(way(train), labels, way(test), truth) for name, way in ways.items()}


def nearest_accuracy(
    train: Float[Tensor, "places 2"], labels: Sequence[str], test: Float[Tensor, "tests 2"], truth: Sequence[str]
) -> list[bool]:
    """Give each test place the label of the nearest training place, by great circle, and tell which are right."""
    nearest = haversine_km(test[:, None].double(), train[None].double()).argmin(1)
    return [labels[int(i)] == right for i, right in zip(nearest, truth, strict=True)]
