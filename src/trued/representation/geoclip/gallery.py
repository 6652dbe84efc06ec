"""The gallery of GeoCLIP: the places that a picture may be from, encoded once and searched many times.

Encoding 100,000 places takes minutes on a desktop and a search takes milliseconds, so an encoded gallery is kept on
disk under a hash of the encoder's weights and the places.

Knows places, unit vectors and their inner products. Knows nothing of pictures.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.data.globe import check_places
from trued.errors import InputError
from trued.fetch.assets import Asset, asset_path
from trued.fetch.wheel import Member
from trued.files import CACHE, cache_dir, whole_folder
from trued.representation.geoclip.location_encoder import WHEEL, LocationEncoder

PLACES = Asset(
    Member(WHEEL, "geoclip/model/gps_gallery/coordinates_100K.csv"),
    "3a00b1ba58f13443db726533b6399b39609e292df09d4e58792fa5949d1838b1",
)
BLOCK = 1 << 15  # vectors compared at once: 64 MB of them at 512 numbers each
_LATITUDE, _LONGITUDE = ("lat", "latitude"), ("lon", "lng", "long", "longitude")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The best places of each query, best first.

    Attributes:
        indices: rows of the gallery.
        cosines: their likeness to the query.
        probabilities: exp(scale cos) over its sum in the whole gallery.
    """

    indices: Int[Tensor, "queries top_k"]
    cosines: Float[Tensor, "queries top_k"]
    probabilities: Float[Tensor, "queries top_k"]


@runtime_checkable
class Searchable(Protocol):
    """Places that can be searched by vectors: `Gallery`, or the faster `trued.representation.geoclip.gallery_index`."""

    @property
    def places(self) -> Tensor: ...

    def search(self, queries: Tensor, top_k: int = 5, *, scale: float = 1.0) -> Found: ...


@dataclass(frozen=True)
class Gallery:
    """Places and their unit vectors. Its search is exact.

    Attributes:
        places: degrees.
        vectors: what the location encoder made of them, in float32 or float16.
    """

    places: Float[Tensor, "places 2"]
    vectors: Float[Tensor, "places dim"]

    def __post_init__(self) -> None:
        if len(self.places) != len(self.vectors) or not len(self.places):
            raise InputError(f"{len(self.places)} places and {len(self.vectors)} vectors: give as many, one at least")

    def __len__(self) -> int:
        return len(self.places)

    @classmethod
    def encode(cls, places: Float[Tensor, "places 2"], encoder: LocationEncoder, *, keep: bool = False) -> Gallery:
        """Encode places.

        Args:
            places: degrees.
            encoder: what encodes them.
            keep: keep the vectors on disk (float16), and take them from there next time.

        Raises:
            InputError: no places, or coordinates that are none.
        """
        places = check_places(places).float()
        if not keep:
            return cls(places, encoder.embed(places))
        from safetensors.torch import load_file, save_file

        from trued.representation.geoclip.model import fingerprint

        key = hashlib.sha256(fingerprint(encoder).encode() + places.cpu().contiguous().numpy().tobytes()).hexdigest()
        folder = cache_dir() / "galleries" / key[:32]
        file = folder / "gallery.safetensors"
        if not file.is_file():
            _log.info("encoding %d places", len(places))
            with whole_folder(folder, kind=CACHE) as work:
                save_file({"vectors": encoder.embed(places).half()}, work / file.name)
        return cls(places, load_file(file)["vectors"])

    def search(self, queries: Float[Tensor, "queries dim"], top_k: int = 5, *, scale: float = 1.0) -> Found:
        """Compare every query with every place, block by block.

        Args:
            queries: unit vectors.
            top_k: how many places to return.
            scale: inverse temperature of the probabilities.

        Raises:
            InputError: `top_k` is below 1 or above the number of places.
        """
        check_top_k(top_k, len(self))
        queries = queries.float()
        cosines = torch.full((len(queries), 0), 0.0)
        indices = torch.zeros((len(queries), 0), dtype=torch.long)
        total = torch.full((len(queries),), -math.inf)
        for start in range(0, len(self), BLOCK):
            scores = queries @ self.vectors[start : start + BLOCK].float().T
            total = torch.logaddexp(total, (scale * scores).logsumexp(1))
            best, where = scores.topk(min(top_k, scores.shape[1]), dim=1)
            cosines, order = torch.cat([cosines, best], 1).topk(min(top_k, cosines.shape[1] + best.shape[1]), dim=1)
            indices = torch.cat([indices, where + start], 1).gather(1, order)
        return Found(indices, cosines, (scale * cosines - total[:, None]).exp())


def check_top_k(top_k: int, places: int) -> None:
    """Raise InputError unless so many places can be returned."""
    if not 1 <= top_k <= places:
        raise InputError(f"top_k is {top_k}: the gallery has {places} places, so give 1 to {places}")


def released_places() -> Float[Tensor, "places 2"]:
    """Return the gallery of the authors' package: 100,000 places of training photographs.

    Raises:
        InputError: the package `geoclip` is neither installed nor to be had.
    """
    return read_places(asset_path(PLACES))


def read_places(path: str | Path) -> Float[Tensor, "places 2"]:
    """Read places from a CSV file with a header; the columns are found by their names, whatever their order.

    Raises:
        InputError: no such file, no columns of latitude and longitude, a cell that is no number, no row, or
            coordinates that are no place; the line is named.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            names = [name.strip().lower() for name in next(rows, [])]
            columns = [next((names.index(name) for name in known if name in names), None) for known in
                       (_LATITUDE, _LONGITUDE)]  # fmt: skip
            if None in columns:
                raise InputError(
                    f"{path}: the header is {', '.join(names) or 'empty'}; name a column 'lat' and one 'lon'"
                )
            latitude, longitude = columns
            found = [_numbers(path, rows.line_num, row, latitude, longitude) for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): give a CSV file with columns lat and lon") from error
    if not found:
        raise InputError(f"{path} holds no place: give one row a place")
    try:
        return check_places(torch.from_numpy(np.array(found, dtype=np.float64))).float()
    except InputError as error:
        raise InputError(f"{path}, counting from 0 below the header: {error}") from None


def _numbers(path: Path, line: int, row: list[str], *columns: int | None) -> tuple[float, float]:
    try:
        latitude, longitude = (float(row[column or 0]) for column in columns)
    except (ValueError, IndexError):
        raise InputError(f"{path}, line {line}: {','.join(row)!r} has no number for latitude and longitude") from None
    return latitude, longitude
