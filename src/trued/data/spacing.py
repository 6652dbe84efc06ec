"""Some of many items, evenly spaced over all of them, so that every group of a sorted list keeps its share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly_spaced(items: Sequence[T], limit: int | None) -> list[T]:
    """Return at most `limit` items; None takes all."""
    return [items[place] for place in evenly_spaced_places(len(items), limit)]


def evenly_spaced_places(count: int, limit: int | None) -> list[int]:
    """Return at most `limit` of the places 0 … count - 1: floor(k count / limit) for k below limit; None takes all."""
    size = count if limit is None else min(limit, count)
    return [k * count // size for k in range(size)]
