"""Two frozen encoders in one space, from pairs split once: choose layers, train heads, measure on pairs held out.

Knows features of all layers, splits and the aligner. Knows nothing of where features come from, or of printing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from trued.errors import InputError
from trued.learn.contrastive import same_pairs
from trued.learn.similarity import Score
from trued.representation.space import SharedSpace, quality
from trued.representation.structure.layers import LayerChoice, LayerFeatures, select_layers
from trued.representation.structure.penalty_sweep import sweep
from trued.representation.structure.train import Aligner

NEIGHBOURS = 10  # of trustworthiness and continuity, and of the choice of layers
LEAST = 2 * NEIGHBOURS + 1  # rows that these need
DEVELOPMENT = 2025  # seed of the permutation whose first rows are set apart


@dataclass(frozen=True)
class Split:
    """Rows to train on, to validate on and to test on; no row stands in two of them."""

    train: Tensor
    validation: Tensor
    test: Tensor

    @classmethod
    def of(cls, rows: int, *, test: float = 0.2, validation: float = 0.1, seed: int = 0) -> Split:
        """Split rows at random.

        Raises:
            InputError: shares that leave too few rows for a measure.
        """
        if not (0 < test < 1 and 0 < validation < 1 and test + validation < 1):
            raise InputError(f"test {test} and validation {validation}: expected shares above 0, together below 1")
        tested, validated = round(rows * test), max(2, round(rows * validation))
        if tested < LEAST or rows - tested - validated < LEAST:
            raise InputError(
                f"{rows} pairs with test {test}: {tested} to measure on and {rows - tested - validated} to train on "
                f"are "
                f"too few, since neighbourhoods need {LEAST} of each; give more pairs, or other shares"
            )
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
        return cls(order[tested + validated :], order[tested : tested + validated], order[:tested])

    @classmethod
    def anew(cls, rows: int, *, validation: int, test: int, train: int, seed: int = 0) -> Split:
        """Split rows so that the validation rows are the same for every seed: settings may be chosen on them.

        Args:
            rows: how many there are.
            validation, test: how many are held out.
            train: how many are needed of the others, all of which are returned, in the order of the seed.

        Raises:
            InputError: too few rows.
        """
        if rows < validation + test + train:
            raise InputError(
                f"{rows} pairs: {validation} for development, {test} to test and {train} to train on are "
                f"{validation + test + train}; give more pairs"
            )
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(DEVELOPMENT))
        rest = order[validation:][torch.randperm(rows - validation, generator=torch.Generator().manual_seed(seed))]
        return cls(rest[test:], order[:validation], rest[:test])

    def first(self, pairs: int) -> Split:
        """Return the same split with only so many of the training rows."""
        return replace(self, train=self.train[:pairs])


@dataclass(frozen=True)
class Measured:
    """What one way of aligning gave on the test pairs; shares from 0 to 1."""

    name: str
    layers: tuple[str, ...]
    recall_at_1: float
    recall_at_5: float
    trustworthiness: float
    continuity: float


@dataclass(frozen=True)
class Aligned:
    """The space, the settings that made it, what it gave, and the choice of layers, if they were chosen."""

    space: SharedSpace
    aligner: Aligner
    measured: Measured
    choice: LayerChoice | None


def align_two(
    sides: Mapping[str, LayerFeatures],
    split: Split,
    aligner: Aligner,
    *,
    layers: Literal["chosen", "last"] = "chosen",
    score: Score = "mutual_knn",
    swept: bool = False,
    progress: bool = True,
    name: str = "",
) -> Aligned:
    """Choose layers on the training pairs, train heads, and measure them on the test pairs.

    Args:
        sides: two encoders' features of the same things.
        split: the rows.
        aligner: how heads are trained.
        layers: the most similar ones, or the last ones.
        score: what layers are compared by.
        swept: pick the penalty's settings on the validation pairs first.
        progress: show bars.
        name: of the way, for tables; made of what it does by default.

    Raises:
        InputError: not two sides, or features that cannot be aligned.
    """
    if len(sides) != 2:
        raise InputError(f"{len(sides)} sides: layers are chosen for two encoders")
    (a, features_a), (b, features_b) = sides.items()
    choice = None
    pair = (features_a.last, features_b.last)
    if layers == "chosen":
        choice = select_layers(
            features_a.take(split.train), features_b.take(split.train), score, k=NEIGHBOURS, seed=aligner.fit.seed
        )
        pair = choice.pair
    features = {a: features_a[pair[0]], b: features_b[pair[1]]}
    train, held, test = (
        {side: x[rows] for side, x in features.items()} for rows in (split.train, split.validation, split.test)
    )
    if swept:
        aligner = sweep(aligner, train, held, progress=progress)[0].aligner
    space, _ = aligner.align(
        train,
        validation=held,
        identities=_identities(train),
        layers=dict(zip(sides, pair, strict=True)),
        progress=progress,
    )
    same = same_pairs(*_identities(test))
    at_1, at_5 = (quality(space, test, recall=k, neighbours=NEIGHBOURS, same=same) for k in (1, 5))
    measured = Measured(
        name or f"{layers} layers{', STRUCTURE' if aligner.lam else ''}",
        pair,
        float(at_1.recall.mean()),
        float(at_5.recall.mean()),
        float(at_5.mean("trustworthiness").mean()),
        float(at_5.mean("continuity").mean()),
    )
    return Aligned(space, aligner, measured, choice)


def compared(
    sides: Mapping[str, LayerFeatures], split: Split, done: Aligned, *, progress: bool = True
) -> list[Measured]:
    """Return what the other ways give with the same settings: last or chosen layers, with the penalty or without it."""
    others = []
    score = "mutual_knn" if done.choice is None else done.choice.score
    lam = done.aligner.lam or Aligner().lam
    ways: tuple[Literal["chosen", "last"], ...] = ("chosen", "last")
    for layers in ways:
        for weight in (lam, 0.0):
            aligner = replace(done.aligner, lam=weight)
            measured = align_two(sides, split, aligner, layers=layers, score=score, progress=progress).measured
            if measured.name != done.measured.name:
                others.append(measured)
    return others


def _identities(features: Mapping[str, Tensor]) -> list[list[int]]:
    """What each row shows, by side: rows with the same features, such as one caption of several pictures, are one."""
    return [torch.unique(x, dim=0, return_inverse=True)[1].tolist() for x in features.values()]
