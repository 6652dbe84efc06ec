"""A gallery of millions of places that answers within milliseconds: cells of the map first, then their places.

An inverted file whose lists are cells of equal area on the Equal Earth map, since what lies near on the globe has
similar vectors. The search is approximate in the way of such files: a place is found if its cell is among those probed.

Knows galleries and cells. Knows nothing of pictures.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.data.globe import equal_earth
from trued.errors import InputError
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.search import Found, places_to_return

_MEMBERS_AT_ONCE = 1 << 14  # vectors of places averaged at once while the index is built


class GalleryIndex:
    """A gallery, sorted by cells.

    The cells to probe are those whose mean vector is nearest to the query. The sum behind the probabilities is exact
    in the probed cells; each other one counts by one of its places, drawn once, as often as it has places, which
    makes the sum an unbiased estimate of the whole gallery's.

    Args:
        gallery: the places with their vectors.
        members: places a cell holds on average.
        probes: cells that are searched; as many as there are makes the search exact.
        seed: draws the cells' standing places.

    Raises:
        InputError: `members` or `probes` is below 1.
    """

    def __init__(self, gallery: Gallery, *, members: int = 128, probes: int = 32, seed: int = 0) -> None:
        if members < 1 or probes < 1:
            raise InputError(f"members={members} and probes={probes}: both are at least 1")
        cell = _cells(gallery.places, members)
        order = cell.argsort(stable=True)
        _, counts = cell[order].unique_consecutive(return_counts=True)
        self.places: Float[Tensor, "places 2"] = gallery.places[order]
        self.vectors: Float[Tensor, "places dim"] = gallery.vectors[order]
        self.order: Int[Tensor, " places"] = order
        self.probes = min(probes, len(counts))
        self.starts: Int[Tensor, " cells"] = counts.cumsum(0) - counts
        self.counts: Int[Tensor, " cells"] = counts
        self.means = _means(self.vectors, counts)
        generator = torch.Generator().manual_seed(seed)
        drawn = (torch.rand(len(counts), generator=generator) * counts).long()
        self.standing = self.vectors[self.starts + drawn].float()

    def __len__(self) -> int:
        return len(self.places)

    def search(self, queries: Float[Tensor, "queries dim"], top_k: int = 5, *, scale: float = 1.0) -> Found:
        """Return the best places of the probed cells; `indices` are rows of this index's own `places`.

        Args:
            queries: unit vectors.
            top_k: how many places to return; a gallery with fewer gives all of them.
            scale: inverse temperature of the probabilities.

        Raises:
            InputError: `top_k` is below 1.
        """
        top_k = places_to_return(top_k, len(self))
        queries = queries.float()
        nearness, standing = queries @ self.means.T, scale * (queries @ self.standing.T) + self.counts.log()
        results = [
            self._find(query, top_k, scale, *rows) for query, *rows in zip(queries, nearness, standing, strict=True)
        ]
        indices, cosines, shares = (torch.stack(parts) for parts in zip(*results, strict=True))
        return Found(indices, cosines, shares)

    def _find(self, query: Tensor, top_k: int, scale: float, nearness: Tensor, standing: Tensor) -> tuple[Tensor, ...]:
        probes = self.probes
        cells = nearness.topk(probes).indices
        while int(self.counts[cells].sum()) < top_k:  # small cells: widen until there are enough places
            probes = min(2 * probes, len(self.counts))
            cells = nearness.topk(probes).indices
        spans = [(int(a), int(a + n)) for a, n in zip(self.starts[cells], self.counts[cells], strict=True)]
        rows = torch.cat([torch.arange(a, b) for a, b in spans])
        scores = torch.cat([self.vectors[a:b] for a, b in spans]).float() @ query
        cosines, where = scores.topk(top_k)
        rest = standing.index_fill(0, cells, -math.inf).logsumexp(0)
        total = torch.logaddexp((scale * scores).logsumexp(0), rest)
        return rows[where], cosines, (scale * cosines - total).exp()


def _cells(places: Tensor, members: int) -> Int[Tensor, " places"]:
    """Number the cells of a square grid on the equal-area map that has `members` places in an occupied cell."""
    xy = equal_earth(places.double())
    side = 0.05
    for _ in range(30):  # occupied cells grow with 1 / side² at most: halve until they are small enough
        column, row = ((xy + 1) / side).long().unbind(-1)
        cell = row * (math.ceil(2 / side) + 1) + column
        if len(places) <= members * len(cell.unique()):
            return cell
        side /= math.sqrt(2)
    return cell


def _means(vectors: Tensor, counts: Tensor) -> Float[Tensor, "cells dim"]:
    cell = torch.arange(len(counts)).repeat_interleave(counts)
    sums = torch.zeros(len(counts), vectors.shape[1])
    for start in range(0, len(vectors), _MEMBERS_AT_ONCE):
        part = slice(start, start + _MEMBERS_AT_ONCE)
        sums.index_add_(0, cell[part], vectors[part].float())
    return sums / counts[:, None]
