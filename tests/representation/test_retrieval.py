"""Search in a shared space beside sorting every cosine, and zero-shot classes of several templates."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from trued.errors import InputError
from trued.learn.contrastive import same_pairs
from trued.representation import retrieval
from trued.representation.retrieval import class_embeddings, ranks, recall_at, retrieve, zero_shot


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[1 << 24, 50], ids=["whole", "blocks"])
def cells(request, monkeypatch):
    monkeypatch.setattr(retrieval, "CELLS", request.param)


def cosines(a, b):
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def test_retrieve_finds_what_sorting_finds(cells):
    queries, gallery = rows(9, 4), 7 * rows(20, 4, 1)
    result, values = retrieve(queries, gallery, 5)
    near = cosines(queries, gallery).argsort(1, descending=True)[:, :5]
    assert torch.equal(result, near)
    torch.testing.assert_close(values, cosines(queries, gallery).gather(1, near))


def test_ranks_and_recall_by_counting(cells):
    a, b = rows(15, 4), rows(15, 4, 1)
    near = cosines(a, b)
    expected = [1 + sum(bool(near[i, j] > near[i, i]) for j in range(15)) for i in range(15)]
    assert ranks(a, b).tolist() == expected
    back = [1 + sum(bool(near[j, i] > near[i, i]) for j in range(15)) for i in range(15)]
    assert recall_at(3, a, b).tolist() == [((p <= 3) + (q <= 3)) / 2 for p, q in zip(expected, back, strict=True)]
    assert recall_at(1, a, a).mean() == 1


def test_equals_count_against_a_row_unless_they_are_right_as_well(cells):
    a = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    assert ranks(a, a).tolist() == [2, 2, 1]
    assert ranks(a, a, same=same_pairs(["cat", "cat", "dog"])).tolist() == [1, 1, 1]
    collapsed = torch.ones(6, 2)
    assert recall_at(5, collapsed, collapsed).sum() == 0  # a space that puts all in one place finds nothing


def test_templates_are_averaged_as_directions():
    templates = {"cat": torch.tensor([[10.0, 0], [0, 1]]), "dog": torch.tensor([[0.0, -3]])}
    names, vectors = class_embeddings(templates)
    assert names == ["cat", "dog"]
    torch.testing.assert_close(vectors, torch.tensor([[0.5**0.5, 0.5**0.5], [0, -1]]))
    assert zero_shot(torch.tensor([[2.0, 1], [0.1, -5]]), names, vectors) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: retrieve(rows(3, 2), rows(3, 4), 1), r"\(3, 2\) and a gallery of shape \(3, 4\)"),
        (lambda: retrieve(rows(3, 2), rows(3, 2), 4), "k 4 of 3 rows"),
        (lambda: ranks(rows(3, 2), rows(4, 2)), "3 queries and 4 rows"),
        (lambda: ranks(rows(3, 2), rows(3, 2) / 0), "NaN or infinity"),
        (lambda: recall_at(4, rows(3, 2), rows(3, 2)), "k 4 of 3 rows"),
        (lambda: class_embeddings({"cat": torch.zeros(0, 2)}), "one template at least"),
        (lambda: zero_shot(rows(3, 2), ["cat"], rows(2, 2)), "1 names and 2 embeddings"),
    ],
)
def test_unfit_vectors_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
