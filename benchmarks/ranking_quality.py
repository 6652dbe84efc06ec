"""How good a ranking is, against graded judgements: nDCG, reciprocal rank, recall.

Knows items, ranks and grades. Knows nothing of how the ranking was made.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence


def ndcg(ranking: Sequence[Hashable], grades: Mapping[Hashable, int], k: int = 10) -> float:
    """Return the discounted cumulative gain of the first k over the best possible one (Järvelin and Kekäläinen, 2002).

    The gain of a grade g is 2^g - 1, discounted by log2(1 + rank).

    Args:
        ranking: items without repeats, the best first.
        grades: item → grade from 0; an item that is not in it has grade 0.
        k: how far the ranking is looked at.

    Raises:
        ValueError: no grade is above 0, so that every ranking would be as good.
    """
    best = sum(_gain(grade, rank) for rank, grade in enumerate(sorted(grades.values(), reverse=True)[:k], 1))
    if not best:
        raise ValueError("no item has a grade above 0: judge at least one")
    return sum(_gain(grades.get(item, 0), rank) for rank, item in enumerate(ranking[:k], 1)) / best


def reciprocal_rank(ranking: Sequence[Hashable], relevant: set[Hashable]) -> float:
    """Return 1 / rank of the first relevant item, or 0 if there is none."""
    return next((1 / rank for rank, item in enumerate(ranking, 1) if item in relevant), 0.0)


def recall(ranking: Sequence[Hashable], relevant: set[Hashable], k: int) -> float:
    """Return the share of the relevant items that are among the first k."""
    return len(relevant.intersection(ranking[:k])) / len(relevant)


def _gain(grade: int, rank: int) -> float:
    return (2**grade - 1) / math.log2(1 + rank)
