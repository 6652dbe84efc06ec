"""GeoCLIP (arXiv 2309.16020): pictures and places in one space, so that a picture is located by retrieval.

A frozen backbone's features go through a small head, places through the location encoder, and a one-way contrastive
loss brings a picture to its place, against the batch's other places and those of a queue.

Knows features, places and their likeness. Knows nothing of files of pictures, backbones or training loops.
"""

from __future__ import annotations

import dataclasses
import json
from copy import deepcopy
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trued.data.globe import haversine_km
from trued.errors import InputError
from trued.fetch.assets import Asset
from trued.fetch.pickled import SINGLE, pinned_tensors
from trued.fetch.wheel import Member
from trued.files import whole_folder
from trued.learn.contrastive import Temperature, info_nce
from trued.learn.unit import unit_rows
from trued.representation.geoclip.location_encoder import WHEEL, LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.search import Searchable

HEAD = Asset(
    Member(WHEEL, "geoclip/model/weights/image_encoder_mlp_weights.pth"),
    "5342c391eec961796d04d02f2bd670bfa97b34ce32c656d0e0676581103c2c14",
)
LOG_SCALE = Asset(
    Member(WHEEL, "geoclip/model/weights/logit_scale_weights.pth"),
    "9568e2e09dd19083082bf285b2c0c126867e40dbd275a8ee8c621888b861904e",
)
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class GeoCLIPConfig:
    """The shape of a model; the defaults are the paper's.

    Args:
        features: width of the backbone's features.
        hidden: width of the head's hidden layer.
        backbone: what gives the features: a name that `trued.representation.geoclip.backbone` knows, or a hub id.
        location: the location encoder's shape.
    """

    features: int = 768
    hidden: int = 768
    backbone: str = "openai/clip-vit-large-patch14"
    location: LocationEncoderConfig = field(default_factory=LocationEncoderConfig)


@dataclass(frozen=True)
class Guess:
    """A place, with the share of the gallery's probability that it has."""

    latitude: float
    longitude: float
    probability: float


@dataclass(frozen=True)
class Heatmap:
    """Probabilities over a grid of places that sum to 1.

    Attributes:
        latitudes: of the rows, north to south.
        longitudes: of the columns, west to east.
        probability: one number a place.
    """

    latitudes: Float[Tensor, " rows"]
    longitudes: Float[Tensor, " columns"]
    probability: Float[Tensor, "rows columns"]


class GeoCLIP(nn.Module):
    """logits = exp(s) cos(head(features), location(place)).

    Args:
        config: its shape.
        seed: decides the first weights.
        location: an encoder to use, trained or not, in place of a fresh one.
    """

    def __init__(
        self,
        config: GeoCLIPConfig = GeoCLIPConfig(),
        *,
        seed: int = 0,
        location: LocationEncoder | None = None,
    ) -> None:
        super().__init__()
        if location is not None:
            config = dataclasses.replace(config, location=location.config)
        self.config = config
        self.location = location or LocationEncoder(config.location, seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Sequential(
                nn.Linear(config.features, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.location.dim)
            )
        self.temperature = Temperature()

    @classmethod
    def released(cls) -> GeoCLIP:
        """Return the authors' trained model, but for the CLIP backbone, which is not part of the package.

        Raises:
            InputError: the package `geoclip` is neither installed nor to be had.
        """
        model = cls(location=LocationEncoder.released())
        model.head.load_state_dict(pinned_tensors(HEAD), strict=True)
        log_scale = pinned_tensors(LOG_SCALE)[SINGLE]
        model.temperature.load_state_dict({"log_scale": log_scale.reshape(())}, strict=True)
        return model.eval()

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with: the inverse temperature."""
        return self.temperature()

    def forward(
        self, features: Float[Tensor, "pictures features"], latlon: Float[Tensor, "places 2"]
    ) -> Float[Tensor, "pictures places"]:
        """Return a logit for every picture at every place."""
        picture, place = unit_rows(self.head(features)), unit_rows(self.location(latlon))
        return self.scale * picture @ place.T

    def loss(
        self,
        features: Float[Tensor, "batch features"],
        latlon: Float[Tensor, "batch 2"],
        queued: Float[Tensor, "queued 2"] | None = None,
        *,
        same_place_km: float | None = None,
    ) -> Float[Tensor, ""]:
        """InfoNCE from pictures to places (section 3.3): the cross-entropy of a picture's own place.

        The other places of the batch and those of the queue are its negatives.

        Args:
            features: of the batch's pictures.
            latlon: where they were taken, in degrees.
            queued: places of earlier batches.
            same_place_km: places no further than this from the picture's own are no negatives, as they are right, too;
                None, as in the paper, takes all.
        """
        same = None
        queued = latlon[:0] if queued is None else queued.to(latlon)
        if same_place_km is not None:
            same = (haversine_km(latlon[:, None].double(), latlon[None].double()) <= same_place_km).fill_diagonal_(
                False
            )
            held = haversine_km(latlon[:, None].double(), queued[None].double()) <= same_place_km
            queued = queued[~held.any(0)]  # for the other pictures, the batch holds such a place already
        own, more = self.location(torch.cat([latlon, queued])).split([len(latlon), len(queued)])
        return info_nce(self.head(features), own, self.scale, same=same, more=more if len(more) else None)

    @torch.no_grad()
    def embed(self, features: Float[Tensor, "pictures features"]) -> Float[Tensor, "pictures dim"]:
        """Return the unit vectors of pictures, or of texts whose features lie in the backbone's space.

        Raises:
            InputError: features of another width, or that are not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.config.features or not len(features):
            raise InputError(
                f"features of shape {tuple(features.shape)}: this model takes rows of {self.config.features}, as "
                f"{self.config.backbone} gives them"
            )
        if not features.isfinite().all():
            raise InputError("the features hold numbers that are not finite: was the backbone run in half precision?")
        return unit_rows(self.head(features.to(self.temperature.log_scale))).cpu()

    def locate(self, features: Float[Tensor, "pictures features"], gallery: Searchable) -> Float[Tensor, "pictures 2"]:
        """Return the likeliest place of each picture or text.

        Raises:
            InputError: features that this model cannot take.
        """
        return gallery.places[gallery.search(self.embed(features), 1).indices[:, 0]]

    def predict(
        self, features: Float[Tensor, "pictures features"], gallery: Searchable, *, top_k: int = 5
    ) -> list[list[Guess]]:
        """Return the likeliest places of each picture, best first; the softmax runs over the whole gallery.

        Args:
            features: of pictures or texts.
            gallery: the places there are, encoded by this model: `Gallery.encode(places, model.location)`.
            top_k: how many places; a gallery with fewer gives all of them.

        Raises:
            InputError: features that this model cannot take, or `top_k` below 1.
        """
        results = gallery.search(self.embed(features), top_k, scale=self.scale.item())
        answers = []
        for rows, shares in zip(results.indices, results.probabilities.tolist(), strict=True):
            places = gallery.places[rows].tolist()
            answers.append([Guess(*place, probability=share) for place, share in zip(places, shares, strict=True)])
        return answers

    def heatmap(
        self,
        features: Float[Tensor, "one features"],
        *,
        box: tuple[float, float, float, float] = (-60.0, -180.0, 85.0, 180.0),
        rows: int = 145,
    ) -> Heatmap:
        """Return one query's probability over a grid of places, each weighed by the area that it stands for.

        Args:
            features: of one picture or one text.
            box: south, west, north and east, in degrees.
            rows: of the grid; its columns are as far apart, in degrees.

        Raises:
            InputError: not one query, a box that is empty or leaves the globe, or too few rows.
        """
        south, west, north, east = box
        if not (-90 <= south < north <= 90 and -180 <= west < east <= 180):
            raise InputError(f"box {box}: give south < north within ±90 and west < east within ±180 degrees")
        if rows < 2 or len(features) != 1:
            raise InputError(
                f"{len(features)} queries and {rows} rows: a heat map is of one query, with 2 rows or more"
            )
        step = (north - south) / rows
        columns = max(1, round((east - west) / step))
        latitudes = north - (torch.arange(rows) + 0.5) * step
        longitudes = west + (torch.arange(columns) + 0.5) * (east - west) / columns
        grid = torch.stack(torch.meshgrid(latitudes, longitudes, indexing="ij"), dim=-1)
        cosine = self.location.embed(grid.reshape(-1, 2)) @ self.embed(features)[0]
        logits = self.scale.item() * cosine.reshape(rows, columns) + latitudes.deg2rad().cos().log()[:, None]
        return Heatmap(latitudes, longitudes, logits.flatten().softmax(0).reshape(rows, columns))

    def fold_standardization(self, mean: Float[Tensor, " features"], std: Float[Tensor, " features"]) -> GeoCLIP:
        """Return a copy whose head takes raw features: the standardisation that it was trained with is folded in."""
        model = deepcopy(self)
        first = model.head[0]
        assert isinstance(first, nn.Linear)
        with torch.no_grad():
            first.weight.div_(std.to(first.weight))
            first.bias.sub_(first.weight @ mean.to(first.weight))
        return model

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write weights (safetensors) and shape into a folder, which is there whole or not at all."""
        from safetensors.torch import save_file

        with whole_folder(folder, kind="GeoCLIP model") as work:
            save_file({name: value.contiguous() for name, value in self.state_dict().items()}, work / _WEIGHTS)
            (work / _CONFIG).write_text(json.dumps(dataclasses.asdict(self.config), indent=2) + "\n", encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> GeoCLIP:
        """Read a model that `save` wrote.

        Raises:
            InputError: no such folder, or its files are not those of a model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = Path(folder)
        try:
            shape: dict[str, Any] = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
            location = shape.pop("location")
            location = LocationEncoderConfig(**location | {"sigmas": tuple(location["sigmas"])})
            model = cls(GeoCLIPConfig(**shape, location=location))
            model.load_state_dict(load_file(path / _WEIGHTS), strict=True)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"{path} holds no GeoCLIP model ({reason}): give a folder that was saved by one"
            ) from error
        return model.eval()
