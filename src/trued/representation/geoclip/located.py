"""Things with features and a place each, split and standardised, and the places among which theirs are looked for.

Knows features and places. Knows nothing of what the things are, or of what locates them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.data.globe import from_sphere, to_sphere
from trued.representation.geoclip.metrics import errors_km, game_score

Answer = Callable[[str], Float[Tensor, "things 2"]]
"""Split → where something is thought to be."""


@dataclass(frozen=True)
class Located:
    """Pictures or texts, by split; there are "train", "validation" and what is tested on.

    Attributes:
        features: split → features, standardised by those of "train"; other keys, such as several views of each
            training picture, are standardised alike.
        places: split → degrees.
        gallery: what is searched in a test.
        coarse: what is searched while training is validated.
        mean, std: what the features were standardised by.
        backbone: what gave the features.
        texts: split → the texts, where the things are texts.
    """

    features: dict[str, Float[Tensor, "things *views features"]]
    places: dict[str, Float[Tensor, "things 2"]]
    gallery: Float[Tensor, "places 2"]
    coarse: Float[Tensor, "places 2"]
    mean: Float[Tensor, " features"]
    std: Float[Tensor, " features"]
    backbone: str
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, raw: Mapping[str, Tensor], places: Mapping[str, Tensor], gallery: Tensor, *, backbone: str,
        coarse: Tensor | None = None, texts: Mapping[str, Sequence[str]] | None = None,
    ) -> Located:  # fmt: skip
        """Standardise raw features by those of the training split; a feature that does not vary is only shifted."""
        mean, std = raw["train"].mean(0), raw["train"].std(0).clamp(min=1e-6)
        features = {name: (part - mean) / std for name, part in raw.items()}
        validated = gallery if coarse is None else coarse
        return cls(features, dict(places), gallery, validated, mean, std, backbone, texts or {})

    @classmethod
    def painted(cls, *, train: int = 96, validation: int = 24, test: int = 32, width: int = 24) -> Located:
        """Return random places with features that are smooth functions of them, to try methods out on."""
        generator = torch.Generator().manual_seed(0)
        mix = torch.randn(3, width, generator=generator)
        counts = {"train": train, "validation": validation, "test": test}
        places = {
            split: from_sphere(torch.randn(count, 3, generator=generator)) for split, count in counts.items()
        }  # fmt: skip
        raw = {split: torch.sin(2 * to_sphere(latlon) @ mix) for split, latlon in places.items()}
        gallery = from_sphere(torch.randn(256, 3, generator=generator))
        raw["views"] = raw["train"][:, None] + 0.1 * torch.randn(train, 2, width, generator=generator)
        return cls.of(raw, places, gallery, coarse=gallery[:64], backbone="painted")

    def trained_on(
        self, rows: Int[Tensor, " rows"] | None = None, *, features: Tensor | None = None, places: Tensor | None = None
    ) -> Located:
        """Return the same things with another training split: some of its rows, or other features or places."""
        features = self.features["train"] if features is None else features
        places = self.places["train"] if places is None else places
        if rows is not None:
            features, places = features[rows], places[rows]
        return replace(
            self, features={**self.features, "train": features}, places={**self.places, "train": places}
        )  # fmt: skip

    def errors(self, split: str, predicted: Float[Tensor, "things 2"]) -> Float[np.ndarray, " things"]:
        """Return how far off predictions are, in kilometres."""
        return errors_km(predicted, self.places[split])

    def score(self, answer: Answer) -> float:
        """Return the geography game's score of the answers for the validation split."""
        return game_score(self.errors("validation", answer("validation")))
