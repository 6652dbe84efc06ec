"""Unit rows: of every size that float32 has, and unchanged where the size is usual."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from trued.learn.contrastive import clip_loss, info_nce
from trued.learn.neighbours import nearest_neighbours
from trued.learn.similarity import mutual_knn, rsa
from trued.learn.unit import scaled_whole, unit_rows
from trued.representation.geoclip.baselines import nearest_picture
from trued.representation.retrieval import class_embeddings, ranks, retrieve
from trued.representation.structure.penalty import structure_loss

X = torch.randn(60, 9, generator=torch.Generator().manual_seed(0))
Y = torch.randn(60, 9, generator=torch.Generator().manual_seed(1))
SIZES = [1e25, 1e37, 1e-25, 1e-36]


@pytest.mark.parametrize("size", SIZES)
def test_rows_of_any_size_have_length_1(size):
    torch.testing.assert_close(unit_rows(X * size), F.normalize(X, dim=1))
    mixed = X * torch.tensor(SIZES).repeat(15)[:, None]
    torch.testing.assert_close(unit_rows(mixed), F.normalize(X, dim=1))


def test_rows_of_usual_size_and_their_gradients_do_not_change():
    gradients = []
    for normalised in (unit_rows, lambda x: F.normalize(x, dim=1)):
        x = X.clone().requires_grad_(True)
        (normalised(x) * Y).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(unit_rows(X), F.normalize(X, dim=1))
    assert torch.equal(*gradients)
    assert unit_rows(torch.zeros(2, 3)).tolist() == [[0, 0, 0]] * 2
    assert float(scaled_whole(X * 1e30).abs().max()) < 1


@pytest.mark.parametrize("size", SIZES)
def test_what_is_compared_by_direction_does_not_depend_on_size(size):
    large = X * size
    measures = [
        lambda x: structure_loss(x, Y, tau=0.5),
        lambda x: structure_loss(Y, x, tau=0.5, order="center_normalize"),
        lambda x: clip_loss(x, Y, 5.0),
        lambda x: info_nce(Y, X, 5.0, more=x),
        lambda x: torch.tensor(mutual_knn(x, Y, 5)),
        lambda x: torch.tensor(rsa(x, Y)),
        lambda x: nearest_neighbours(x, 5),
        lambda x: nearest_neighbours(x, 5, center=False),
        lambda x: nearest_neighbours(x, 5, metric="euclidean"),
        lambda x: retrieve(x, Y, 3)[1],
        lambda x: ranks(Y, x),
        lambda x: class_embeddings({"a": x[:3], "b": x[3:5]})[1],
        lambda x: nearest_picture(x, Y, X[:, :2]),
    ]
    for measure in measures:
        torch.testing.assert_close(measure(large), measure(X), atol=1e-5, rtol=1e-4)
