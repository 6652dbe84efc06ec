"""Places to search: those of the authors' package, and a user's own out of a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.globe import check_places
from trued.data.row_files import csv_reader
from trued.errors import InputError
from trued.fetch.assets import Asset, asset_path
from trued.fetch.wheel import Member
from trued.representation.geoclip.location_encoder import WHEEL
from trued.texts import read_text

PLACES = Asset(
    Member(WHEEL, "geoclip/model/gps_gallery/coordinates_100K.csv"),
    "3a00b1ba58f13443db726533b6399b39609e292df09d4e58792fa5949d1838b1",
)
_LATITUDE, _LONGITUDE = ("lat", "latitude"), ("lon", "lng", "long", "longitude")


def released_places() -> Float[Tensor, "places 2"]:
    """Return the gallery of the authors' package: 100,000 places of training photographs.

    Raises:
        InputError: the package `geoclip` is neither installed nor available.
    """
    return read_places(asset_path(PLACES))


def read_places(path: str | Path) -> Float[Tensor, "places 2"]:
    """Read places from a CSV file with a header; the columns are found by their names, whatever their order.

    Raises:
        InputError: no such file, no columns of latitude and longitude, a cell that is no number, no row, or
            coordinates that are no place; the line is named.
    """
    path = Path(path)
    rows = csv_reader(read_text(path))
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        columns = [next((names.index(name) for name in known if name in names), None) for known in
                   (_LATITUDE, _LONGITUDE)]  # fmt: skip
        if None in columns:
            raise InputError(f"{path}: the header is {', '.join(names) or 'empty'}; name a column 'lat' and one 'lon'")
        latitude, longitude = columns
        coordinates = [_numbers(path, rows.line_num, row, latitude, longitude) for row in rows if row]
    except csv.Error as error:
        raise InputError(f"{path} cannot be read ({error}): give a CSV file with columns lat and lon") from error
    if not coordinates:
        raise InputError(f"{path} holds no place: give one row a place")
    try:
        return check_places(torch.from_numpy(np.array(coordinates, dtype=np.float64))).float()
    except InputError as error:
        raise InputError(f"{path}, counting from 0 below the header: {error}") from None


def _numbers(path: Path, line: int, row: list[str], *columns: int | None) -> tuple[float, float]:
    try:
        latitude, longitude = (float(row[column or 0]) for column in columns)
    except (ValueError, IndexError):
        raise InputError(
            f"{path}, line {line}: {','.join(row)[:80]!r} has no number for latitude and longitude"
        ) from None
    return latitude, longitude
