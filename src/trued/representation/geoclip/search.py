"""What a search among places gives, and what can be searched; the searches are in `gallery` and `gallery_index`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError


@dataclass(frozen=True)
class SearchResult:
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

    def search(self, queries: Tensor, top_k: int = 5, *, scale: float = 1.0) -> SearchResult: ...


def places_to_return(top_k: int, places: int) -> int:
    """Return how many places a search gives: `top_k`, or all of a gallery that has fewer.

    Raises:
        InputError: `top_k` is no whole number from 1.
    """
    if top_k < 1 or top_k != int(top_k):
        raise InputError(f"top_k is {top_k}: give a whole number from 1")
    return min(int(top_k), places)
