"""How far off: the share of pictures placed within some distances, the median error, the error's distribution, and the
radius that holds a share of the probability.

Knows distances on the sphere. Knows nothing of how the places were found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.globe import check_places, haversine_km
from trued.errors import InputError

STREET, CITY, REGION, COUNTRY, CONTINENT = 1.0, 25.0, 200.0, 750.0, 2500.0
LEVELS = {"street": STREET, "city": CITY, "region": REGION, "country": COUNTRY, "continent": CONTINENT}
GAME_SCALE_KM = 1492.7  # a guess this far off scores 5000 / e, on a world map in GeoGuessr


def errors_km(
    predicted: Float[Tensor, "pictures 2"], true: Float[Tensor, "pictures 2"]
) -> Float[np.ndarray, " pictures"]:
    """Return great-circle distances between predicted and true places, in float64.

    Raises:
        InputError: not as many of one as of the other, none at all, or coordinates that are no place.
    """
    if len(predicted) != len(true) or not len(true):
        raise InputError(f"{len(predicted)} predictions for {len(true)} pictures: give one for each, and one at least")
    return haversine_km(check_places(predicted).double(), check_places(true).double()).cpu().numpy()


def distance_accuracy(
    predicted: Float[Tensor, "pictures 2"],
    true: Float[Tensor, "pictures 2"],
    km: Sequence[float] = tuple(LEVELS.values()),
) -> dict[float, float]:
    """Return, for each distance, the share of pictures that were placed no further than it from where they are.

    Raises:
        InputError: as `errors_km`.
    """
    errors = errors_km(predicted, true)
    return {float(limit): float(np.mean(errors <= limit)) for limit in km}


def game_score(errors: Float[np.ndarray, " pictures"]) -> float:
    """Return the mean of 5000 exp(-d / 1492.7 km), the score of the geography game that people are compared in."""
    return float(np.mean(5000 * np.exp(-np.asarray(errors) / GAME_SCALE_KM)))


def error_curve(
    errors: Float[np.ndarray, " pictures"], km: Float[np.ndarray, " limits"]
) -> Float[np.ndarray, " limits"]:
    """Return the share of errors up to each limit."""
    return np.searchsorted(np.sort(errors), km, side="right") / len(errors)


def spread_km(places: Float[Tensor, "places 2"], shares: Float[Tensor, " places"], share: float = 0.5) -> float:
    """Return the radius about the likeliest place within which `share` of the probability lies.

    Args:
        places: all of a gallery, in degrees; where the probability ends, the radius does.
        shares: their probabilities, which sum to 1.
        share: above 0 and up to 1.

    Raises:
        InputError: not a probability a place, or a share outside (0, 1].
    """
    if len(places) != len(shares) or not len(places):
        raise InputError(f"{len(places)} places and {len(shares)} probabilities: give as many, one at least")
    if not 0 < share <= 1:
        raise InputError(f"share is {share}: it must lie in (0, 1]")
    likeliest = places[int(shares.argmax())].double()
    away, order = haversine_km(likeliest[None], places.double()).sort()
    within = shares.double()[order].cumsum(0)
    place = int(torch.searchsorted(within, within.new_tensor(share)))
    return float(away[min(place, len(away) - 1)])


def summary(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Return the shares at the five levels by their names, the median error and the game's score.

    Raises:
        InputError: as `errors_km`.
    """
    errors = errors_km(predicted, true)
    shares = {name: float(np.mean(errors <= limit)) for name, limit in LEVELS.items()}
    return {**shares, "median km": float(np.median(errors)), "score": game_score(errors)}
