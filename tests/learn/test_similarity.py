"""Similarity of features beside brute force on whole kernel matrices, and where its value is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from trued.errors import InputError
from trued.learn.similarity import cka, effective_rank, mutual_knn, rank_correlation, rsa, similarity_matrix


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def kernel_hsic(x, y, debiased):
    """HSIC from the kernel matrices, as defined."""
    n = len(x)
    K, L = (z.double() @ z.double().T for z in (x, y))
    if not debiased:
        H = torch.eye(n, dtype=torch.float64) - 1 / n
        return float((K @ H @ L @ H).trace())
    K.fill_diagonal_(0)
    L.fill_diagonal_(0)
    return float((K @ L).trace() + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 * (K @ L).sum() / (n - 2))


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize(("wide", "narrow"), [(7, 4), (60, 5)])
def test_cka_from_features_equals_cka_from_kernels(debiased, wide, narrow):
    x = rows(50, wide) + 3
    y = x[:, :narrow] ** 2 + rows(50, narrow, 1)
    theirs = kernel_hsic(x, y, debiased) / (kernel_hsic(x, x, debiased) * kernel_hsic(y, y, debiased)) ** 0.5
    assert cka(x, y, debiased=debiased) == pytest.approx(theirs, abs=1e-6)


def test_cka_is_one_for_a_rotated_and_scaled_copy_and_only_debiased_zero_for_unrelated_features():
    x = rows(60, 30)
    turn = torch.linalg.qr(rows(30, 30, 3)).Q
    assert cka(x, 2 * x @ turn + 1) == pytest.approx(1, abs=1e-6)
    unrelated = [rows(60, 100, 10 + seed) for seed in range(20)]
    plain = np.mean([cka(x, y) for y in unrelated])
    debiased = [cka(x, y, debiased=True) for y in unrelated]
    assert plain > 0.3
    assert abs(np.mean(debiased)) < 3 * np.std(debiased) / 20**0.5


def test_a_rank_correlation_is_of_orders_and_what_does_not_vary_orders_nothing():
    x = torch.tensor([0.1, 0.5, 0.2, 0.9])
    assert rank_correlation(x, x.exp()) == pytest.approx(1)
    assert rank_correlation(x, -x) == pytest.approx(-1)
    assert rank_correlation(x, torch.tensor([1.0, 2, 3, 4])) == pytest.approx(0.8)
    assert rank_correlation(x, torch.ones(4)) == rank_correlation(torch.ones(4), x) == 0


def test_rsa_is_the_rank_correlation_of_all_pairs():
    x, y = rows(30, 4), rows(30, 4) + 0.5 * rows(30, 4, 1)
    upper = np.triu_indices(30, 1)
    cosines = []
    for side in (x, y):
        z = F.normalize(side - side.mean(0), dim=1).numpy()
        cosines.append((z @ z.T)[upper])
    assert rsa(x, y) == pytest.approx(stats.spearmanr(*cosines).statistic, abs=1e-6)
    assert rsa(x, y, pairs=400) == pytest.approx(rsa(x, y), abs=0.15)
    assert rsa(x, y, pairs=400, seed=1) == rsa(x, y, pairs=400, seed=1) != rsa(x, y, pairs=400, seed=2)
    assert rsa(x, x) == pytest.approx(1)


def test_mutual_knn_of_known_neighbourhoods():
    x = rows(80, 5)
    assert mutual_knn(x, 4 * x + 1) == 1
    shuffled = [mutual_knn(x, x[torch.randperm(80, generator=torch.Generator().manual_seed(i))]) for i in range(30)]
    assert np.mean(shuffled) == pytest.approx(10 / 79, abs=3 * np.std(shuffled) / 30**0.5)
    half = mutual_knn(x, torch.cat([x[:40], rows(40, 5, 1)]))
    assert np.mean(shuffled) < half < 1


@pytest.mark.parametrize(("n", "dim"), [(200, 6), (6, 200)])
def test_effective_rank_of_known_spectra(n, dim):
    basis = torch.linalg.qr(rows(max(n, dim), 6)).Q
    q = torch.linalg.qr(torch.cat([torch.ones(n, 1), rows(n, 5)], 1)).Q[:, 1:]  # orthogonal to what centring takes
    p = basis[:dim, :5] if dim >= 6 else torch.eye(dim)[:, :5]
    p = torch.linalg.qr(p).Q
    k = min(q.shape[1], 4)
    equal = q[:, :k] @ p[:, :k].T
    assert effective_rank(7 * equal) == pytest.approx(k, abs=1e-3)
    uneven = (q[:, :2] * torch.tensor([3.0, 1.0])) @ p[:, :2].T
    shares = np.array([0.75, 0.25])
    assert effective_rank(uneven) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), abs=1e-3)


@pytest.mark.parametrize(
    ("score", "single"),
    [
        ("mutual_knn", lambda a, b: mutual_knn(a, b, 5)),
        ("cka", cka),
        ("cka_debiased", lambda a, b: cka(a, b, debiased=True)),
        ("rsa", rsa),
    ],
)
def test_the_matrix_holds_the_score_of_every_two_layers(score, single):
    x = rows(40, 8)
    first, second = [x, x[:, :3], x**2], [x @ rows(8, 5, 1), rows(40, 2, 2)]
    result = similarity_matrix(first, second, score, k=5)
    assert result.shape == (3, 2)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert float(result[i, j]) == pytest.approx(single(a, b), abs=1e-6)


def test_neighbours_are_found_once_a_layer(monkeypatch):
    from trued.learn import similarity

    calls, real = [], similarity.nearest_neighbours
    monkeypatch.setattr(similarity, "nearest_neighbours", lambda x, k: calls.append(len(x)) or real(x, k))
    similarity_matrix([rows(20, 3)] * 4, [rows(20, 3, 1)] * 3, k=3)
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: mutual_knn(rows(5, 2), rows(6, 2), 2), "5 and 6 rows"),
        (lambda: cka(rows(5, 2), torch.ones(5, 2)), "constant"),
        (lambda: cka(rows(3, 2), rows(3, 2), debiased=True), "3 rows: this score needs 4"),
        (lambda: rsa(rows(2, 2), rows(2, 2)), "2 rows: this score needs 3"),
        (lambda: rsa(torch.ones(4, 2), rows(4, 2)), "equally far"),
        (lambda: effective_rank(torch.ones(4, 2)), "constant"),
        (lambda: similarity_matrix([rows(4, 2)], [rows(4, 2)], "cosine"), "unknown score 'cosine'"),
        (lambda: similarity_matrix([], [rows(4, 2)]), "0 and 1 layers"),
        (lambda: similarity_matrix([rows(4, 2), rows(5, 2)], [rows(4, 2)]), "4 and 5 rows"),
    ],
)
def test_unfit_features_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
