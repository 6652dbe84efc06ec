"""Heads: what is standardised, how they begin, and canonical correlations beside scikit-learn and a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trued.errors import InputError
from trued.representation.heads import Standardize, canonical, linear, mlp


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_standardised_features_have_mean_zero_and_variance_one_and_constant_ones_are_zero():
    x = rows(50, 4) * torch.tensor([1e-3, 1, 1e4, 1]) + torch.tensor([0, 7, -1e5, 0])
    x[:, 3] = 1234.5
    result = Standardize.of(x)(x)
    torch.testing.assert_close(result[:, :3].mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(result[:, :3].std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert (result[:, 3] == 0).all()
    made = Standardize(4)
    made.load_state_dict(Standardize.of(x).state_dict())
    assert torch.equal(made(x), result)


def test_a_linear_head_begins_with_angles_kept():
    head = linear(6, 9, torch.Generator().manual_seed(0))
    x = rows(5, 6)
    with torch.no_grad():
        torch.testing.assert_close(head(x) @ head(x).T, x @ x.T, atol=1e-4, rtol=1e-4)


def test_heads_of_one_seed_are_alike():
    for make in (lambda g: linear(6, 3, g), lambda g: mlp(6, 5, 3, g)):
        first, second, other = (make(torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert any(not torch.equal(first[name], other[name]) for name in first)


def test_canonical_directions_correlate_as_known_in_closed_form():
    """Two coordinates shared with known noise: their correlations are 1 / sqrt(1 + noise^2)."""
    n = 8000
    shared = rows(n, 2)
    noise = torch.tensor([0.5, 2.0])
    x = torch.cat([shared, rows(n, 3, 1)], 1) @ rows(5, 5, 2)
    y = torch.cat([shared + noise * rows(n, 2, 3), rows(n, 2, 4)], 1) @ rows(4, 4, 5)
    f, g = canonical(x, y, 6, ridge=1e-6)
    a, b = f(x).double(), g(y).double()
    torch.testing.assert_close(a.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-3, rtol=0)
    rho = [float((a[:, i] * b[:, i]).mean() / (a[:, i].std() * b[:, i].std())) for i in range(2)]
    assert rho == pytest.approx([(1 + s**2) ** -0.5 for s in (0.5, 2.0)], abs=0.04)
    assert a[:, :2].var(0).tolist() == pytest.approx(rho, abs=0.04)  # weighed by the correlation
    assert (a[:, 4:] == 0).all()  # beyond what there is
    cross = a.T @ b / n
    assert cross[:4, :4].fill_diagonal_(0).abs().max() < 0.04


def test_canonical_correlations_beside_scikit_learn():
    from sklearn.cross_decomposition import CCA

    x, y = rows(200, 4), None
    y = x @ rows(4, 3, 1) + 0.7 * rows(200, 3, 2)
    theirs = CCA(n_components=2).fit(x.numpy(), y.numpy()).transform(x.numpy(), y.numpy())
    f, g = canonical(x, y, 2, ridge=1e-9)
    for i in range(2):
        ours = np.corrcoef(f(x)[:, i].detach(), g(y)[:, i].detach())[0, 1]
        assert ours == pytest.approx(np.corrcoef(theirs[0][:, i], theirs[1][:, i])[0, 1], abs=1e-3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: canonical(rows(5, 2), rows(4, 2), 2), "5 and 4 rows"),
        (lambda: canonical(rows(5, 2), rows(5, 2), 2, ridge=0), "ridge 0"),
        (lambda: canonical(torch.ones(5, 2), rows(5, 2), 2), "constant"),
        (lambda: Standardize.of(rows(1, 2)), "two rows at least"),
        (lambda: Standardize.of(torch.tensor([[1.0, 2], [np.inf, 1]])), "row 1 .* not finite"),
    ],
)
def test_unfit_features_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
