"""How alike two sets of features of the same things are: mutual nearest neighbours, CKA, RSA; and how many dimensions
one of them uses.

Knows matrices whose rows belong together. Knows nothing of what made them. Every score is computed in blocks, so memory
is linear in the rows; the scores of every two layers share what belongs to one layer alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from trued.errors import InputError
from trued.learn.neighbours import BLOCK, Metric, centred, nearest_neighbours, overlap
from trued.learn.unit import unit_rows

Score = Literal["mutual_knn", "cka", "cka_debiased", "rsa"]


def mutual_knn(
    x: Float[Tensor, "rows wide"], y: Float[Tensor, "rows narrow"], k: int = 10, *,
    metric: Metric = "cosine", center: bool = True, block: int = BLOCK,
) -> float:  # fmt: skip
    """Return the mean share of a row's k nearest neighbours that both sets have in common (arXiv 2405.07987, App. A).

    It is 1 for the same neighbourhoods, and k / (rows - 1) in expectation for unrelated ones.

    Raises:
        InputError: not the same rows, k out of range, or unfit rows.
    """
    _paired(x, y)
    near = [nearest_neighbours(z, k, metric=metric, center=center, block=block) for z in (x, y)]
    return float(overlap(*near).mean())


def cka(x: Float[Tensor, "rows wide"], y: Float[Tensor, "rows narrow"], *, debiased: bool = False) -> float:
    """Return linear centred kernel alignment, HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)) (arXiv 1905.00414, Eq. 1 and 2).

    HSIC is computed from products of features, never from the kernel matrices: its cost is linear in the rows.

    Args:
        x, y: features of the same rows.
        debiased: use the unbiased estimate of HSIC (Song et al. 2012, Eq. 5), whose expectation is 0 for unrelated
            features. The plain one grows towards 1 as the dimensions approach the rows.

    Raises:
        InputError: not the same rows, too few of them, or features that are constant.
    """
    _paired(x, y, least=4 if debiased else 2)
    a, b = centred(x), centred(y)
    return _ratio(_hsic(a, b, debiased), _hsic(a, a, debiased), _hsic(b, b, debiased))


def rsa(
    x: Float[Tensor, "rows wide"], y: Float[Tensor, "rows narrow"], *, pairs: int = 2_000_000, seed: int = 0
) -> float:
    """Return Spearman's correlation of the cosines of every two rows in both sets (Kriegeskorte et al. 2008).

    Args:
        x, y: features of the same rows, centred here.
        pairs: of more pairs than these, as many are drawn at random, with replacement.
        seed: of the draw.

    Raises:
        InputError: not the same rows, fewer than 3, or all cosines of one side equal.
    """
    _paired(x, y, least=3)
    i, j = _pairs(len(x), pairs, seed)
    return _rank_correlation(_cosines(x, i, j), _cosines(y, i, j))


def rank_correlation(a: Float[Tensor, " items"], b: Float[Tensor, " items"]) -> float:
    """Return Spearman's correlation of two lists of numbers; 0 where either does not vary, since it orders nothing."""
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    return float(stats.spearmanr(a.numpy(), b.numpy())[0])  # pyright: ignore


def effective_rank(x: Float[Tensor, "rows dim"]) -> float:
    """Return exp of the entropy of the singular values' shares, after centring (Roy and Vetterli 2007, Definition 1).

    Raises:
        InputError: features that are constant.
    """
    z = centred(x)
    values = torch.linalg.eigvalsh(_products(z, z) if len(z) >= z.shape[1] else _products(z.T, z.T)).clamp(min=0).sqrt()
    # Rounding in float32 features leaves this much where there is nothing.
    values = values[values > values.max() * max(z.shape) * torch.finfo(torch.float32).eps]
    if not len(values):
        raise InputError("the features are constant: they span no dimension")
    shares = values / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))


def similarity_matrix(
    first: Sequence[Float[Tensor, "rows _"]], second: Sequence[Float[Tensor, "rows _"]], score: Score = "mutual_knn", *,
    k: int = 10, pairs: int = 500_000, seed: int = 0,
) -> Float[Tensor, "first second"]:  # fmt: skip
    """Return the score of every layer of one model with every layer of another.

    What belongs to one layer is computed once: its neighbours, its inner products with itself, its cosines.

    Args:
        first, second: features of the same rows, one matrix a layer.
        score: which one.
        k: neighbours, for "mutual_knn".
        pairs, seed: for "rsa", as there.

    Raises:
        InputError: no such score, no layers, or layers that the score cannot take.
    """
    if score not in get_args(Score):
        raise InputError(f"unknown score {score!r}: one of {', '.join(get_args(Score))}")
    if not first or not second:
        raise InputError(f"{len(first)} and {len(second)} layers: expected one of each at least")
    debiased = score == "cka_debiased"
    for layer in (*first, *second):
        _paired(first[0], layer, least={"rsa": 3, "cka_debiased": 4}.get(score, 2))
    if score == "mutual_knn":
        first_parts, second_parts = ([nearest_neighbours(x, k) for x in side] for side in (first, second))
        return _table(first_parts, second_parts, lambda a, b: float(overlap(a, b).mean()))
    if score == "rsa":
        i, j = _pairs(len(first[0]), pairs, seed)
        first_parts, second_parts = ([_cosines(x, i, j) for x in side] for side in (first, second))
        return _table(first_parts, second_parts, _rank_correlation)
    first_parts, second_parts = ([(z, _hsic(z, z, debiased)) for z in map(centred, side)] for side in (first, second))
    return _table(first_parts, second_parts, lambda a, b: _ratio(_hsic(a[0], b[0], debiased), a[1], b[1]))


def _table(first: Sequence, second: Sequence, score: Callable[..., float]) -> Float[Tensor, "first second"]:
    return torch.tensor([[score(a, b) for b in second] for a in first])


def _paired(x: Tensor, y: Tensor, least: int = 2) -> None:
    if len(x) != len(y):
        raise InputError(f"{len(x)} and {len(y)} rows: both sides describe the same things, in the same order")
    if len(x) < least:
        raise InputError(f"{len(x)} rows: this score needs {least} at least")


def _products(x: Tensor, y: Tensor) -> Float[Tensor, "wide narrow"]:
    """x^T y, summed over blocks of rows in float64."""
    total = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    for a, b in zip(x.split(BLOCK), y.split(BLOCK), strict=True):
        total += a.T.double() @ b.double()
    return total


def _hsic(x: Tensor, y: Tensor, debiased: bool) -> float:
    """HSIC of linear kernels, up to a factor that cancels; x and y are centred.

    Plain: |x^T y|^2. Unbiased, with K = x x^T and L = y y^T without their diagonals:
    tr(K L) + (1' K 1)(1' L 1) / ((n - 1)(n - 2)) - 2 (1' K L 1) / (n - 2), each term from features alone.
    """
    inner = float(_products(x, y).square().sum())
    if not debiased:
        return inner
    n = len(x)
    p, q = (z.double().square().sum(1) for z in (x, y))
    # The rows of a centred matrix sum to zero, so K 1 = x (x^T 1) - p is -p, and 1' K 1 is -sum p.
    return inner - float(p @ q) + float(p.sum() * q.sum()) / ((n - 1) * (n - 2)) - 2 * float(p @ q) / (n - 2)


def _ratio(cross: float, first: float, second: float) -> float:
    if not (first > 0 and second > 0):
        raise InputError("the features of one side are constant or too few: their alignment is not defined")
    return cross / (first * second) ** 0.5


def _pairs(rows: int, pairs: int, seed: int) -> tuple[Tensor, Tensor]:
    if rows * (rows - 1) // 2 <= pairs:
        i, j = torch.triu_indices(rows, rows, 1)
        return i, j
    generator = torch.Generator().manual_seed(seed)
    i = torch.randint(rows, (pairs,), generator=generator)
    return i, (i + torch.randint(1, rows, (pairs,), generator=generator)) % rows


def _cosines(x: Tensor, first: Tensor, second: Tensor) -> Float[Tensor, " pairs"]:
    z = unit_rows(centred(x))
    chunks = zip(first.split(16 * BLOCK), second.split(16 * BLOCK), strict=True)
    return torch.cat([(z[i] * z[j]).sum(1) for i, j in chunks])


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    if a.min() == a.max() or b.min() == b.max():
        raise InputError("all rows of one side are equally far from each other: there is no order to compare")
    return rank_correlation(a, b)
