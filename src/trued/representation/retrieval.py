"""Search and zero-shot classification in a shared space, by cosine, in blocks.

Knows vectors. Knows nothing of what they were made from. The gallery may have millions of rows: no more than a block
of queries times the gallery is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.learn.unit import unit_rows

CELLS = 1 << 24  # similarities held at once, 64 MB


@torch.no_grad()
def retrieve(
    queries: Float[Tensor, "queries dim"], gallery: Float[Tensor, "rows dim"], k: int
) -> tuple[Int[Tensor, "queries k"], Float[Tensor, "queries k"]]:
    """Return the k nearest rows of the gallery for each query, nearest first, and their cosines.

    Raises:
        InputError: widths that differ, or k out of range.
    """
    _fit(queries, gallery)
    if not 1 <= k <= len(gallery):
        raise InputError(f"k {k} of {len(gallery)} rows: expected at least 1 and no more than there are")
    q, g = unit_rows(queries.float()), unit_rows(gallery.float())
    parts = [(part @ g.T).topk(k, 1) for part in q.split(max(1, CELLS // len(g)))]
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])


@torch.no_grad()
def ranks(
    queries: Float[Tensor, "rows dim"],
    gallery: Float[Tensor, "rows dim"],
    *,
    same: Bool[Tensor, "rows rows"] | None = None,
) -> Int[Tensor, " rows"]:
    """Return for each query the rank of its own row of the gallery, from 1; of equal cosines, its own comes last.

    Args:
        queries, gallery: what belongs together, row by row.
        same: other rows that would be right as well; they do not count as nearer.

    Raises:
        InputError: shapes that differ, or vectors that are not finite, which have no rank.
    """
    _fit(queries, gallery)
    if len(queries) != len(gallery):
        raise InputError(f"{len(queries)} queries and {len(gallery)} rows: one row per query")
    if not (torch.isfinite(queries).all() and torch.isfinite(gallery).all()):
        raise InputError("the vectors contain NaN or infinity: they cannot be ranked, so fix or drop those rows")
    q, g = unit_rows(queries.float()), unit_rows(gallery.float())
    block_ranks = []
    size = max(1, CELLS // len(g))
    for start in range(0, len(q), size):
        own = torch.arange(start, min(start + size, len(q)))
        tile = q[start : start + size] @ g.T
        nearer = tile >= tile.gather(1, own[:, None])
        if same is not None:
            nearer &= ~same[start : start + size]
        nearer[own - start, own] = True
        block_ranks.append(nearer.sum(1))
    return torch.cat(block_ranks)


def recall_at(
    k: int, a: Float[Tensor, "rows dim"], b: Float[Tensor, "rows dim"], **same: Tensor
) -> Float[Tensor, " rows"]:
    """Return for each row how often its partner is among the first k: the mean of both directions, 0, 0.5 or 1.

    Args:
        k: how many are looked at.
        a, b: what belongs together, row by row.
        **same: as `ranks`.

    Raises:
        InputError: as `ranks`, or k out of range.
    """
    if not 1 <= k <= len(b):
        raise InputError(f"k {k} of {len(b)} rows: expected at least 1 and no more than there are")
    there, back = ranks(a, b, **same), ranks(b, a, **same)
    return ((there <= k).float() + (back <= k).float()) / 2


def class_embeddings(
    embedded: Mapping[str, Float[Tensor, "templates dim"]],
) -> tuple[list[str], Float[Tensor, "classes dim"]]:
    """Return the classes and one unit vector for each: the mean of its templates' unit vectors (CLIP, 3.1.4).

    Args:
        embedded: class → its name in several templates, in the shared space.

    Raises:
        InputError: no class, or one without a template.
    """
    if not embedded or any(not len(vectors) for vectors in embedded.values()):
        raise InputError("zero-shot classification needs one class at least, and one template at least for each")
    means = [unit_rows(vectors.float()).mean(0) for vectors in embedded.values()]
    return list(embedded), unit_rows(torch.stack(means))


def zero_shot(
    x: Float[Tensor, "rows dim"], classes: Sequence[str], embeddings: Float[Tensor, "classes dim"]
) -> list[str]:
    """Return the nearest class of each row."""
    if len(classes) != len(embeddings):
        raise InputError(f"{len(classes)} names and {len(embeddings)} embeddings of classes: one of each")
    nearest, _ = retrieve(x, embeddings, 1)
    return [classes[int(i)] for i in nearest[:, 0]]


def _fit(queries: Tensor, gallery: Tensor) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1] or not len(gallery):
        raise InputError(
            f"queries of shape {tuple(queries.shape)} and a gallery of shape {tuple(gallery.shape)}: expected "
            "[rows, dim] of one width, one row at least"
        )
