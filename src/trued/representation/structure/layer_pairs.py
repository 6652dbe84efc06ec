"""Heads on one layer of each side, trained and measured on pairs held out; and a grid of layer pairs, each so measured.

The grid shows whether the similarity of two layers before training predicts what heads on them reach, which is why
layers are chosen by it (arXiv 2506.16895).

Knows features of all layers, splits and the aligner. Knows nothing of where features come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.learn.similarity import Score, effective_rank, rank_correlation, similarity_matrix
from trued.representation.space import Quality, quality
from trued.representation.structure.layers import LayerFeatures
from trued.representation.structure.low_data import Split
from trued.representation.structure.train import Aligner


@dataclass(frozen=True)
class Reached:
    """What heads on one layer of each side gave on the test pairs.

    Attributes:
        layers: side → layer.
        pairs: how many were trained on.
        quality: of the space, row by row.
        rank: effective dimensions of the space, the mean of the sides.
        seconds: of training; 0 where the closed form was all of it.
    """

    layers: dict[str, str]
    pairs: int
    quality: Quality
    rank: float
    seconds: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON; trustworthiness and continuity are means of the sides, for each row."""
        return {
            "recall": self.quality.recall.tolist(),
            "trustworthiness": self.quality.mean("trustworthiness").tolist(),
            "continuity": self.quality.mean("continuity").tolist(),
            "rank": self.rank,
            "layers": list(self.layers.values()),
            "pairs": self.pairs,
            "seconds": self.seconds,
        }


def align_layers(
    sides: Mapping[str, LayerFeatures], layers: Mapping[str, str], split: Split, aligner: Aligner, *,
    reference: Int[Tensor, " pairs"] | None = None, recall: int = 5, neighbours: int = 10,
) -> Reached:  # fmt: skip
    """Train heads on these layers and measure them on the test pairs.

    Args:
        sides: encoders' features of the same things.
        layers: side → its layer.
        split: the rows.
        aligner: how heads are trained.
        reference: rows whose neighbourhoods are kept in place of the training rows' own, one for each: a control.
        recall: how many of the nearest are looked at.
        neighbours: k of trustworthiness and continuity.

    Raises:
        InputError: no such layer, or as `Aligner.align`.
    """

    def features(rows: Tensor) -> dict[str, Tensor]:
        return {side: sides[side][layer][rows] for side, layer in layers.items()}

    space, result = aligner.align(
        features(split.train), validation=features(split.validation), progress=False,
        reference=None if reference is None else features(reference),
    )  # fmt: skip
    test = features(split.test)
    ranks = [effective_rank(space.transform(x, side)) for side, x in test.items()]
    reached = quality(space, test, recall=recall, neighbours=neighbours)
    seconds = 0.0 if result is None else result.seconds
    return Reached(dict(layers), len(split.train), reached, sum(ranks) / len(ranks), seconds)


@dataclass(frozen=True)
class Grid:
    """Layer pairs of two sides, the second side's layers running fastest.

    Attributes:
        layers: names of each side's layers.
        scores: similarity on training pairs, by its name.
        recall: what heads reached on the test pairs, the mean of the rows.
    """

    layers: tuple[list[str], list[str]]
    scores: dict[Score, Float[Tensor, " pairs"]]
    recall: Float[Tensor, " pairs"]

    def rank_correlation(self, score: Score, order: Int[Tensor, " pairs"] | None = None) -> float:
        """Return Spearman's correlation of a similarity with the recall; `order` shuffles the former: a control."""
        scores = self.scores[score]
        return rank_correlation(scores if order is None else scores[order], self.recall)


def layer_grid(
    sides: Mapping[str, LayerFeatures], split: Split, aligner: Aligner, *, counts: tuple[int, int],
    recall: int = 5, neighbours: int = 10,
    progress: Callable[[Sequence[tuple[str, str]]], Iterable[tuple[str, str]]] = iter,
) -> Grid:  # fmt: skip
    """Train heads on a grid of layer pairs, and score the same pairs by every similarity.

    Args:
        sides: two encoders' features of the same things.
        split: the rows.
        aligner: how heads are trained; its seed also draws the pairs of rows that "rsa" looks at.
        counts: layers of each side, evenly spaced from the first to the last.
        recall, neighbours: as `align_layers`; `neighbours` is also k of "mutual_knn".
        progress: wraps the layer pairs, to show how far it is.

    Raises:
        InputError: not two sides, or as `align_layers`.
    """
    if len(sides) != 2:
        raise InputError(f"{len(sides)} sides: a grid is of the layers of two encoders")
    (a, features_a), (b, features_b) = sides.items()
    names = (features_a.spread(counts[0]), features_b.spread(counts[1]))
    first, second = (
        [side[name][split.train] for name in some] for side, some in zip((features_a, features_b), names, strict=True)
    )
    scores: dict[Score, Tensor] = {
        score: similarity_matrix(first, second, score, k=neighbours, seed=aligner.fit.seed).flatten()
        for score in get_args(Score)
    }
    reached = [
        align_layers(sides, {a: x, b: y}, split, aligner, recall=recall, neighbours=neighbours)
        for x, y in progress(list(product(*names)))
    ]
    return Grid(names, scores, torch.stack([cell.quality.recall.double().mean() for cell in reached]))
