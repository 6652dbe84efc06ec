"""What GeoCLIP's experiment works on: tiles of the Blue Marble, labelled cities, and cities in words.

At tiny scale everything is made up here, so that it needs no network: pictures whose colours follow the place, random
encoders, and words hashed into vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.cities import City, cities, draw, places_of
from trued.data.earth import SPLITS, Split, blue_marble, land_grid
from trued.data.globe import from_sphere, to_sphere
from trued.lab.experiment import Lab
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.vision.encoder import DEFAULT, ImageEncoder
from trued.vision.views import Views

UNSEEN_SHARE = 0.3  # of the countries
TINY = LocationEncoderConfig(sigmas=(1.0, 16.0, 256.0), features=8, hidden=16, depth=1, dim=16)


@dataclass(frozen=True)
class Pictures:
    """Features and places of the splits, and the galleries.

    Attributes:
        features: of each split, standardised by the training split.
        views: features of several views of each training picture, standardised alike.
        places: of each split, in degrees.
        gallery: what is searched in a test.
        coarse: what is searched while training is validated.
        mean, std: what the features were standardised by.
        backbone: what gave them.
    """

    features: dict[str, Float[Tensor, "pictures features"]]
    views: Float[Tensor, "pictures views features"]
    places: dict[str, Float[Tensor, "pictures 2"]]
    gallery: Float[Tensor, "places 2"]
    coarse: Float[Tensor, "places 2"]
    mean: Float[Tensor, " features"]
    std: Float[Tensor, " features"]
    backbone: str


@dataclass(frozen=True)
class Words:
    """Cities as texts: training, others of the same countries, and those of countries that were left out.

    Attributes:
        features: of the texts of each set, standardised by the training set.
        cities: of each set.
        gallery: what is searched.
        mean, std: what the features were standardised by.
        embed: gives the raw features of any text.
    """

    features: dict[str, Float[Tensor, "texts features"]]
    cities: dict[str, list[City]]
    gallery: Float[Tensor, "places 2"]
    mean: Float[Tensor, " features"]
    std: Float[Tensor, " features"]
    embed: Callable[[Sequence[str]], Tensor]

    def places(self, name: str) -> Float[Tensor, "texts 2"]:
        """Return where the cities of a set lie."""
        return places_of(self.cities[name])


# -- pictures ----------------------------------------------------------------------------------------------------------


def pictures(lab: Lab) -> Pictures:
    """Return the pictures of this scale; their features are computed once and kept."""
    scale = lab.scale
    if lab.scale_name == "tiny":
        return _painted()
    backbone = lab.model or DEFAULT
    lab.model_name = backbone
    found = {}
    for split in lab.progress(SPLITS, "features of tiles"):
        found[split] = lab.cached(f"geoclip-tiles-{split}", _tiles, split, scale.tile, scale.pixels, backbone)
    seen = [
        lab.cached("geoclip-views", _view, scale.tile, scale.pixels, backbone, number)
        for number in lab.progress(range(scale.views), "features of views")
    ]
    gallery, coarse = land_grid(scale.grid), land_grid(2 * scale.grid)
    return _standardised({name: part["features"] for name, part in found.items()}, torch.stack(seen, 1),
                         {name: part["places"] for name, part in found.items()}, gallery, coarse, backbone)  # fmt: skip


def _tiles(split: Split, tile: int, pixels: int, backbone: str) -> dict[str, Tensor]:
    tiles = blue_marble(split, size=tile)
    return {"features": ImageEncoder.load(backbone, size=pixels).features(tiles.floats()), "places": tiles.places}


def _view(tile: int, pixels: int, backbone: str, seed: int) -> Tensor:
    seen = Views(pixels)(blue_marble("train", size=tile).images, seed)
    return ImageEncoder.load(backbone, size=pixels).features(seen.float() / 255)


def _painted() -> Pictures:
    """Random places with features that are smooth functions of them."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(3, 24, generator=generator)
    places = {
        name: from_sphere(torch.randn(count, 3, generator=generator))
        for name, count in (("train", 96), ("validation", 24), ("test", 32))
    }
    features = {name: torch.sin(2 * to_sphere(latlon) @ mix) for name, latlon in places.items()}
    gallery = from_sphere(torch.randn(256, 3, generator=generator))
    views = features["train"][:, None] + 0.1 * torch.randn(96, 2, 24, generator=generator)
    return _standardised(features, views, places, gallery, gallery[:64], "painted")


def _standardised(
    features: dict[str, Tensor], views: Tensor, places: dict[str, Tensor], gallery: Tensor, coarse: Tensor,
    backbone: str,
) -> Pictures:  # fmt: skip
    mean, std = features["train"].mean(0), features["train"].std(0).clamp(min=1e-6)
    standard = {name: (part - mean) / std for name, part in features.items()}
    return Pictures(standard, (views - mean) / std, places, gallery, coarse, mean, std, backbone)


# -- cities ------------------------------------------------------------------------------------------------------------


def encoders(lab: Lab, seed: int) -> tuple[LocationEncoder, LocationEncoder]:
    """Return the released location encoder and one of its shape that was never trained; at tiny scale both are."""
    if lab.scale_name == "tiny":
        return LocationEncoder(TINY, seed=100).eval(), LocationEncoder(TINY, seed=seed).eval()
    return LocationEncoder.released(), LocationEncoder(seed=seed).eval()


def labelled(lab: Lab) -> tuple[list[City], list[City]]:
    """Return the pool that labelled cities are drawn from and the test cities, which are the same for every seed."""
    found = draw(cities(), lab.scale.pool + lab.scale.tests, seed=0)
    return found[lab.scale.tests :], found[: lab.scale.tests]


def words(lab: Lab) -> Words:
    """Return cities in words; whole countries are left out of training, by a hash of their names."""
    scale = lab.scale
    seen = [city for city in cities() if _drawn(city.country) >= UNSEEN_SHARE]
    known = [city for city in seen if _drawn(f"{city.name} {city.latitude}") < 0.5]
    others = [city for city in seen if _drawn(f"{city.name} {city.latitude}") >= 0.5]
    unseen = [city for city in cities() if _drawn(city.country) < UNSEEN_SHARE]
    sets = {
        "train": draw(known, scale.texts + scale.text_tests, 0)[scale.text_tests :],
        "validation": draw(known, scale.texts + scale.text_tests, 0)[: scale.text_tests],
        "seen countries": draw(others, scale.text_tests, 0),
        "unseen countries": draw(unseen, scale.text_tests, 0),
    }
    embed = _hashed if lab.scale_name == "tiny" else _embedded
    raw = {
        name: lab.cached(f"geoclip-words-{name}", embed, [described(city) for city in found])
        for name, found in sets.items()
    }
    mean, std = raw["train"].mean(0), raw["train"].std(0).clamp(min=1e-6)
    gallery = _painted().gallery if lab.scale_name == "tiny" else land_grid(scale.grid)
    return Words({name: (part - mean) / std for name, part in raw.items()}, sets, gallery, mean, std, embed)


def described(city: City) -> str:
    """Return a city in words. The continent is not told: it would give away what unseen countries are asked for."""
    return f"{city.name}, a city in {city.country}"


def _embedded(texts: Sequence[str]) -> Float[Tensor, "texts features"]:
    from trued.language.engine.embedder import SentenceEmbedder

    return torch.from_numpy(SentenceEmbedder.load()(list(texts)))


def _hashed(texts: Sequence[str]) -> Float[Tensor, "texts features"]:
    """A bag of hashed words."""
    out = torch.zeros(len(texts), 32)
    for row, text in enumerate(texts):
        for word in text.split():
            out[row, int(32 * _drawn(word))] += 1
    return out


def _drawn(text: str) -> float:
    """Return a number from 0 to 1 that is the text's own, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
