"""Exact nearest neighbours of many rows among themselves, in blocks, and how well a map keeps them.

Knows vectors and distances. Knows nothing of what the vectors represent. Nothing here is as large as rows times rows:
memory is linear in the rows, so 100,000 of them fit a laptop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.learn.unit import scaled_whole, unit_rows

Metric = Literal["cosine", "euclidean"]

BLOCK = 1024  # rows of a tile of similarities: 4 MB in float32, which stays in the cache


@torch.no_grad()
def nearest_neighbours(
    x: Float[Tensor, "rows dim"], k: int, *, metric: Metric = "cosine", center: bool = True, block: int = BLOCK
) -> Int[Tensor, "rows k"]:
    """Return the k nearest other rows of each row, in rising order of their numbers.

    A tile of similarities serves its rows and, transposed, its columns, so that half of the products are computed. Of
    rows that are equally near, the first ones are taken.

    Args:
        x: finite vectors; no zero vector for cosines.
        k: below the number of rows.
        metric: "cosine", or "euclidean".
        center: subtract the mean first. Without it cosines of anisotropic features, such as a language model's last
            layer, are governed by the one direction that all rows share; distances do not change.
        block: rows of a tile.

    Raises:
        InputError: k out of range, or rows without a direction, or not finite.
    """
    z, offsets = _prepared(x, metric, center)
    rows = len(z)
    if not 1 <= k < rows:
        raise InputError(f"k {k} of {rows} rows: expected at least 1 and fewer than there are rows")
    best = torch.full((rows, k), -torch.inf)
    neighbours = torch.full((rows, k), rows)
    for start in range(0, rows, block):
        for other in range(start, rows, block):
            here, there = slice(start, start + block), slice(other, other + block)
            tile = _similarities(z, offsets, here, there)
            if start == other:
                tile.fill_diagonal_(-torch.inf)
            else:
                _merge(best[there], neighbours[there], tile.T, start)
            _merge(best[here], neighbours[here], tile, other)
    return neighbours.sort(1).values


def overlap(a: Int[Tensor, "rows k"], b: Int[Tensor, "rows k"]) -> Float[Tensor, " rows"]:
    """Return |kNN_a(i) ∩ kNN_b(i)| / k of each row.

    Raises:
        InputError: neighbours of other rows, or of another number of them.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(f"neighbours of shapes {tuple(a.shape)} and {tuple(b.shape)}: expected [rows, k], alike")
    # Neighbours are distinct within a row, so what both have stands twice, side by side, in the sorted union.
    union = torch.cat([a, b], 1).sort(1).values
    return (union[:, 1:] == union[:, :-1]).sum(1) / a.shape[1]


@torch.no_grad()
def trustworthiness(
    x: Float[Tensor, "rows wide"], a: Float[Tensor, "rows narrow"], k: int = 10, *,
    metric: Metric = "cosine", center: bool = True, block: int = BLOCK,
) -> Float[Tensor, " rows"]:  # fmt: skip
    """Return how far each row's neighbours in `a` were neighbours in `x` already; the mean over rows is the score.

    T_i = 1 - 2 / (k (2n - 3k - 1)) sum_{j in kNN_a(i)} max(0, r_x(i, j) - k), with r_x(i, j) the rank of j among the
    rows by their nearness to i in x, from 1 (Venna and Kaski 2001). 1 says that nothing came near that was not near.

    Args:
        x: rows before a map.
        a: the same rows after it.
        k: neighbours, fewer than half of the rows: the normalisation holds only there.
        metric, center, block: as `nearest_neighbours`, on either side.

    Raises:
        InputError: not the same rows, too large a k, or unfit rows.
    """
    if len(x) != len(a):
        raise InputError(f"{len(x)} rows before and {len(a)} after: give the same rows, in the same order")
    rows = len(x)
    if not 1 <= k < rows / 2:
        raise InputError(f"k {k} of {rows} rows: expected at least 1 and fewer than half of the rows")
    near = nearest_neighbours(a, k, metric=metric, center=center, block=block)
    z, offsets = _prepared(x, metric, center)
    excess = torch.zeros(rows)
    for part in _slices(rows, block):
        tile = _similarities(z, offsets, part, slice(0, rows))
        tile[torch.arange(len(tile)), torch.arange(rows)[part]] = -torch.inf
        own = tile.gather(1, near[part])
        for j in range(k):
            nearer = (tile > own[:, j, None]).sum(1)
            excess[part] += (nearer + 1 - k).clamp(min=0)
    return 1 - 2 * excess / (k * (2 * rows - 3 * k - 1))


def continuity(
    x: Float[Tensor, "rows wide"], a: Float[Tensor, "rows narrow"], k: int = 10, *,
    metric: Metric = "cosine", center: bool = True, block: int = BLOCK,
) -> Float[Tensor, " rows"]:  # fmt: skip
    """Return how far each row's neighbours in `x` still are neighbours in `a`: trustworthiness the other way round."""
    return trustworthiness(a, x, k, metric=metric, center=center, block=block)


def centred(x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Subtract the mean over rows, which is taken in float64; the result is float32.

    Raises:
        InputError: no matrix, or a row that is not finite.
    """
    if x.ndim != 2 or not len(x):
        raise InputError(f"features of shape {tuple(x.shape)}: expected [rows, dim], one row at least")
    finite = torch.isfinite(x).all(1)
    if not finite.all():
        raise InputError(f"row {int((~finite).nonzero()[0])} of the features is not finite: mend or drop it")
    return (x - x.mean(0, dtype=torch.float64)).float()


def _prepared(x: Tensor, metric: Metric, center: bool) -> tuple[Tensor, Tensor | None]:
    """Return vectors whose inner products, with offsets subtracted on both sides, are the similarities."""
    if metric not in ("cosine", "euclidean"):
        raise InputError(f"unknown metric {metric!r}: 'cosine' or 'euclidean'")
    z = centred(x)
    if not center and metric == "cosine":
        z = x.float()
    if metric == "euclidean":
        z = scaled_whole(z)  # which neighbours are nearest does not depend on the scale
        return z, z.square().sum(1) / 2  # minus half the squared distance
    zero = (z == 0).all(1)
    if zero.any():
        row = int(zero.nonzero()[0])
        raise InputError(
            f"row {row} of the features is {'the mean' if center else 'zero'}, which has no direction: drop it"
        )
    return unit_rows(z), None


def _similarities(z: Tensor, offsets: Tensor | None, rows: slice, columns: slice) -> Tensor:
    tile = z[rows] @ z[columns].T
    return tile if offsets is None else tile.sub_(offsets[rows, None]).sub_(offsets[None, columns])


def _merge(best: Tensor, neighbours: Tensor, tile: Tensor, first: int) -> None:
    """Take what is nearer in `tile`, whose columns are the rows from `first` on, into the nearest so far."""
    news = (tile.amax(1) > best[:, -1]).nonzero()[:, 0]
    if not len(news):
        return
    values, columns = _top(tile[news], min(best.shape[1], tile.shape[1]))
    # Tiles come in the order of their columns, so among equals a stable sort keeps the first ones.
    values, order = torch.cat([best[news], values], 1).sort(dim=1, descending=True, stable=True)
    nearest = order[:, : best.shape[1]]
    best[news] = values[:, : best.shape[1]]
    neighbours[news] = torch.cat([neighbours[news], columns + first], 1).gather(1, nearest)


def _top(tile: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row and their columns, the first ones among equals."""
    values, columns = tile.topk(k, 1)
    tied = ((tile >= values[:, -1:]).sum(1) > k).nonzero()[:, 0]
    if len(tied):
        sure, order = tile[tied].sort(dim=1, descending=True, stable=True)
        values[tied], columns[tied] = sure[:, :k], order[:, :k]
    return values, columns


def _slices(rows: int, block: int) -> Iterator[slice]:
    for start in range(0, rows, block):
        yield slice(start, min(rows, start + block))
