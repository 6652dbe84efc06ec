"""Training GeoCLIP on features that were computed once (arXiv 2309.16020, sections 3.3 and 4).

Knows features, places, the queue and the training loop. Knows nothing of pictures or of what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trued.data.globe import check_places, jitter
from trued.errors import InputError
from trued.learn.fit.loop import FitConfig, FitResult, fit
from trued.representation.geoclip.model import GeoCLIP
from trued.representation.geoclip.queue import LocationQueue


@dataclass(frozen=True)
class GeoCLIPTraining:
    """How a model is trained; the defaults are the paper's, but for the shape of the learning rate's fall.

    Args:
        queue_size: earlier places that serve as negatives; 0 for none.
        batch_noise_m: standard deviation of the noise on the batch's places, in metres.
        queue_noise_m: of that on the queue's.
        same_place_km: places this near to a picture's own are no negatives; None, as in the paper, takes all.
        fit: the training loop's settings. The paper's learning rate falls by 0.87 an epoch, ours along a cosine.

    Raises:
        InputError: a queue, noise or distance that is negative or not finite.
    """

    queue_size: int = 4096
    batch_noise_m: float = 150.0
    queue_noise_m: float = 1000.0
    same_place_km: float | None = None
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=10, batch_size=512, lr=3e-5, weight_decay=1e-6, warmup=0.0)
    )

    def __post_init__(self) -> None:
        for name in ("queue_size", "batch_noise_m", "queue_noise_m", "same_place_km"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"{name} is {value}: give a finite number from 0")

    def train(
        self,
        model: GeoCLIP,
        features: Float[Tensor, "pictures features"] | Float[Tensor, "pictures views features"],
        latlon: Float[Tensor, "pictures 2"],
        *,
        validate: Callable[[int], float] | None = None,
        progress: bool = False,
    ) -> FitResult:
        """Train the parameters of `model` that require a gradient, in place.

        Freeze the location encoder (`model.location.requires_grad_(False)`) to learn a head into a space that is there.

        Args:
            model: fresh, or one to go on with.
            features: of the pictures, from the model's backbone; of several views of each (`trued.vision.views`), a
                step takes one at random.
            latlon: where they were taken, in degrees.
            validate: as in `fit`: takes the completed steps, returns a value, higher is better.
            progress: show a bar.

        Raises:
            InputError: not as many places as pictures, coordinates that are no place, or features without a view.
        """
        if features.ndim not in (2, 3) or not features.shape[1]:
            raise InputError(
                f"features of shape {tuple(features.shape)}: expected [pictures, features], or with several views of "
                "each [pictures, views, features]"
            )
        if len(features) != len(latlon):
            raise InputError(f"{len(features)} pictures and {len(latlon)} places: give a place for each")
        latlon = check_places(latlon).float()
        queue = LocationQueue(self.queue_size) if self.queue_size else None

        def loss(_: nn.Module, rows: Tensor) -> dict[str, Tensor]:
            own = latlon[rows.cpu()]
            device = model.scale.device
            moved = jitter(own, self.batch_noise_m).to(device)
            queued = queue.sample(self.queue_noise_m).to(device) if queue is not None else None
            seen = features[rows.cpu()]
            if seen.ndim == 3:
                seen = seen[torch.arange(len(seen)), torch.randint(seen.shape[1], (len(seen),))]
            value = model.loss(seen.to(device), moved, queued, same_place_km=self.same_place_km)
            if queue is not None:
                queue.push(own)  # after the logits: a batch is no negative of itself
            return {"loss": value}

        return fit(
            model, loss, range(len(features)), self.fit, collate=torch.tensor, validate=validate, progress=progress
        )  # fmt: skip
