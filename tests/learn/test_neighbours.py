"""Nearest neighbours beside scikit-learn and sorting; trustworthiness beside scikit-learn and its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from torch.nn import functional as F

from trued.errors import InputError
from trued.learn.neighbours import continuity, nearest_neighbours, overlap, trustworthiness


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def nearness(x, metric, center):
    """The whole matrix in float64, a row's nearness to itself left out."""
    x = x.double()
    z = x - x.mean(0) if center else x
    near = -((z[:, None] - z[None]) ** 2).sum(-1) if metric == "euclidean" else F.normalize(z, dim=1) @ F.normalize(z).T
    return near.fill_diagonal_(-torch.inf)


@settings(deadline=None, max_examples=15)
@given(
    n=st.integers(3, 60), dim=st.integers(2, 8), block=st.integers(1, 70), k=st.integers(1, 12),
    seed=st.integers(0, 99), metric=st.sampled_from(["cosine", "euclidean"]), center=st.booleans(),
)  # fmt: skip
def test_blocks_find_what_sorting_everything_finds(n, dim, block, k, seed, metric, center):
    x, k = rows(n, dim, seed) + 1, min(k, n - 1)
    result = nearest_neighbours(x, k, metric=metric, center=center, block=block)
    near = nearness(x, metric, center)
    # By nearness and not by number: two rows may be equally near but for rounding. Real ties have a test of their own.
    assert torch.allclose(near.gather(1, result).sort(1).values, near.topk(k, 1).values.flip(1), atol=1e-5)
    assert (result[:, 1:] > result[:, :-1]).all()  # no row twice


def test_of_equally_near_rows_the_first_are_taken():
    corners = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    x = corners.repeat(6, 1)  # every row has five copies, all equally near
    for block in (3, 5, 24):
        result = nearest_neighbours(x, 2, center=False, block=block)
        for i, near in enumerate(result.tolist()):
            assert near == [j for j in range(24) if j % 4 == i % 4 and j != i][:2]


def test_centring_takes_away_the_direction_that_all_share():
    x = rows(80, 6)
    x[:, 0] = 0
    far = x.clone()
    far[:, 0] = 1e3
    plain = nearest_neighbours(x, 5)
    assert torch.equal(nearest_neighbours(far, 5), plain)
    assert not torch.equal(nearest_neighbours(far, 5, center=False), plain)


def test_overlap_counts_common_neighbours():
    a, b = torch.tensor([[0, 2, 5], [1, 3, 4]]), torch.tensor([[5, 0, 7], [0, 2, 6]])
    assert overlap(a, b).tolist() == pytest.approx([2 / 3, 0])
    assert overlap(a, a).tolist() == [1, 1]
    with pytest.raises(InputError, match="alike"):
        overlap(a, b[:, :2])


@pytest.mark.parametrize("block", [7, 1000])
def test_trustworthiness_and_continuity_beside_scikit_learn(block):
    x = rows(90, 6)
    a = x[:, :2] + 0.1 * rows(90, 2, 1)
    # scikit-learn takes cosines before the map only, so the map's rows are given to it as unit vectors.
    z, u = x - x.mean(0), F.normalize(a - a.mean(0), dim=1)
    theirs = sklearn_trustworthiness(z.numpy(), u.numpy(), n_neighbors=9, metric="cosine")
    result = trustworthiness(x, a, 9, block=block)
    assert result.shape == (90,)
    assert float(result.mean()) == pytest.approx(theirs, abs=1e-6)
    theirs = sklearn_trustworthiness(x.numpy(), a.numpy(), n_neighbors=9)
    assert float(trustworthiness(x, a, 9, metric="euclidean", block=block).mean()) == pytest.approx(theirs, abs=1e-6)
    back = sklearn_trustworthiness(a.numpy(), x.numpy(), n_neighbors=9)
    assert float(continuity(x, a, 9, metric="euclidean", block=block).mean()) == pytest.approx(back, abs=1e-6)


def test_a_rotation_is_trustworthy_and_a_shuffle_is_not():
    x = rows(60, 5)
    turn = torch.linalg.qr(rows(5, 5, 3)).Q
    assert trustworthiness(x, 3 * x @ turn, 10).min() == 1
    assert continuity(x, 3 * x @ turn, 10).min() == 1
    assert trustworthiness(x, x[torch.randperm(60, generator=torch.Generator().manual_seed(1))], 10).mean() < 0.7


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: nearest_neighbours(rows(5, 2), 5), "k 5 of 5 rows"),
        (lambda: nearest_neighbours(rows(5, 2), 0), "k 0 of 5 rows"),
        (lambda: nearest_neighbours(torch.zeros(5, 2), 2, center=False), "row 0 of the features is zero"),
        (lambda: nearest_neighbours(torch.ones(5, 2), 2), "row 0 of the features is the mean"),
        (lambda: nearest_neighbours(torch.tensor([[1.0, 2], [torch.nan, 1], [0, 1]]), 1), "row 1 .* not finite"),
        (lambda: nearest_neighbours(rows(5, 2), 2, metric="manhattan"), "unknown metric 'manhattan'"),
        (lambda: trustworthiness(rows(5, 2), rows(6, 2), 2), "5 rows before and 6 after"),
        (lambda: trustworthiness(rows(20, 2), rows(20, 2), 10), "fewer than half"),
    ],
)
def test_unfit_rows_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
