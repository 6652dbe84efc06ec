"""What GeoCLIP's experiment works on: tiles of the Blue Marble, labelled cities, and sentences about cities.

At tiny scale pictures, encoders and words are made up, so that it needs no network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trued.data.cities import City, by_country, cities, draw, places_of
from trued.data.earth import SPLITS, Split, blue_marble, land_grid
from trued.lab.experiment import Lab
from trued.representation.features import hashed_words
from trued.representation.geoclip.backbone import SENTENCES, text_features
from trued.representation.geoclip.located import Located
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.vision.encoder import DEFAULT, ImageEncoder
from trued.vision.views import Views

SEEN, UNSEEN = "seen countries", "unseen countries"
TINY = LocationEncoderConfig(sigmas=(1.0, 16.0, 256.0), features=8, hidden=16, depth=1, dim=16)


def pictures(lab: Lab) -> Located:
    """Return the tiles of this scale, with "views" of the training tiles; their features are computed once and kept."""
    scale = lab.scale
    if lab.scale_name == "tiny":
        return Located.painted()
    backbone = lab.model_name = lab.model or DEFAULT
    tiles = {
        split: lab.cached(f"geoclip-tiles-{split}", tile_features, split, scale.tile, scale.pixels, backbone)
        for split in lab.progress(SPLITS, "features of tiles")
    }
    views = [
        lab.cached("geoclip-views", view_features, scale.tile, scale.pixels, backbone, number)
        for number in lab.progress(range(scale.views), "features of views")
    ]
    return Located.of(
        {split: part["features"] for split, part in tiles.items()} | {"views": torch.stack(views, 1)},
        {split: part["places"] for split, part in tiles.items()},
        land_grid(scale.grid), coarse=land_grid(2 * scale.grid), backbone=backbone,
    )  # fmt: skip


def tile_features(split: Split, tile: int, pixels: int, backbone: str) -> dict[str, Tensor]:
    """Return what the backbone makes of the tiles of a split, and where they lie."""
    tiles = blue_marble(split, size=tile)
    return {"features": ImageEncoder.load(backbone, size=pixels).features(tiles.floats()), "places": tiles.places}


def view_features(tile: int, pixels: int, backbone: str, seed: int) -> Tensor:
    """Return what the backbone makes of one random view of each training tile."""
    seen = Views(pixels)(blue_marble("train", size=tile).images, seed)
    return ImageEncoder.load(backbone, size=pixels).features(seen.float() / 255)


def encoders(lab: Lab, seed: int) -> tuple[LocationEncoder, LocationEncoder]:
    """Return the released location encoder and one of its shape that was never trained; at tiny scale none was."""
    if lab.scale_name == "tiny":
        return LocationEncoder(TINY, seed=100).eval(), LocationEncoder(TINY, seed=seed).eval()
    return LocationEncoder.released(), LocationEncoder(seed=seed).eval()


def labelled(lab: Lab) -> tuple[list[City], list[City]]:
    """Return the pool that labelled cities are drawn from and the test cities, which are the same for every seed."""
    drawn = draw(cities(), lab.scale.pool + lab.scale.tests, seed=0)
    return drawn[lab.scale.tests :], drawn[: lab.scale.tests]


def words(lab: Lab) -> Located:
    """Return sentences about cities: for training, others of the same countries, and those of left-out countries.

    Continents are left out: they would give away the answers for unseen countries.
    """
    scale, tiny = lab.scale, lab.scale_name == "tiny"
    known, others, unseen = by_country(cities())
    drawn = draw(known, scale.texts + scale.text_tests, 0)
    sets = {
        "train": drawn[scale.text_tests :],
        "validation": drawn[: scale.text_tests],
        SEEN: draw(others, scale.text_tests, 0),
        UNSEEN: draw(unseen, scale.text_tests, 0),
    }
    texts = {name: [city.words for city in some] for name, some in sets.items()}
    raw = {
        name: lab.cached(f"geoclip-words-{name}", hashed_words if tiny else text_features, some)
        for name, some in texts.items()
    }
    places = {name: places_of(some) for name, some in sets.items()}
    gallery = Located.painted().gallery if tiny else land_grid(scale.grid)
    return Located.of(raw, places, gallery, backbone=SENTENCES, texts=texts)
