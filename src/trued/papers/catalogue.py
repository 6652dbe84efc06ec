"""The catalogue: every card that trued ships, and whether its paper runs yet.

Knows the folder of cards and the names in the folder of experiments. Imports no experiment.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from trued.errors import InputError, nearest
from trued.papers.card import Card, load_card

State = Literal["runs", "planned"]

CARDS = Path(__file__).parent / "cards"
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def slugs() -> list[str]:
    """Return the slugs of all papers, sorted."""
    return list(_slugs())


def card(slug: str) -> Card:
    """Return the card of one paper; only its file is read.

    Raises:
        InputError: no paper has this slug; the message offers the nearest ones.
    """
    _require(slug)
    return _load(slug)


def cards() -> dict[str, Card]:
    """Return all cards by slug, sorted. The files are read once."""
    return {slug: _load(slug) for slug in _slugs()}


def state(slug: str) -> State:
    """Return "runs" if the paper has an experiment in the package, else "planned".

    Raises:
        InputError: no paper has this slug; the message offers the nearest ones.
    """
    _require(slug)
    # The experiments lie on a floor above this one, and importing them would load torch: look for the file.
    place = EXPERIMENTS / slug.replace("-", "_")
    return "runs" if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file() else "planned"


@cache
def _slugs() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in CARDS.glob("*.toml")))


@cache
def _load(slug: str) -> Card:
    return load_card(CARDS / f"{slug}.toml")


def _require(slug: str) -> None:
    if slug not in _slugs():
        hint = nearest(slug, _slugs()) or "."
        raise InputError(f"no paper has the slug {slug!r}{hint} `trued papers list` shows all.")
