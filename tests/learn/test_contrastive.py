"""Contrastive losses beside their definitions written out, masks of duplicates, and the queue's order."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.learn.contrastive import Queue, Temperature, clip_loss, info_nce, same_pairs, siglip_loss


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(a, b):
    return [[float(x @ y / (x.norm() * y.norm())) for y in b] for x in a]


def nll(scores, right):
    """-log softmax(scores)[right], written out."""
    return math.log(sum(math.exp(score) for score in scores)) - scores[right]


def test_info_nce_written_out_with_masked_duplicates_and_a_queue():
    a, b, more = rows(4, 3), rows(4, 3, 1), rows(5, 3, 2)
    same = same_pairs(["cat", "dog", "cat", "bird"])
    table, queue = cosines(a, b), cosines(a, more)
    expected = []
    for i in range(4):
        logits = [7 * table[i][j] for j in range(4) if not same[i, j]]
        right = logits.index(7 * table[i][i])
        expected.append(nll(logits + [7 * c for c in queue[i]], right))
    result = info_nce(a, b, 7.0, same=same, more=more)
    assert float(result) == pytest.approx(sum(expected) / 4, abs=1e-5)


def test_clip_loss_is_the_mean_of_both_directions():
    a, b = rows(6, 4), rows(6, 4, 1)
    same = same_pairs([1, 2, 3, 1, 5, 6], ["x", "y", "y", "u", "v", "w"])
    both = (info_nce(a, b, 5.0, same=same) + info_nce(b, a, 5.0, same=same)) / 2
    assert float(clip_loss(a, b, 5.0, same=same)) == pytest.approx(float(both), abs=1e-6)
    assert float(clip_loss(a, a, 100.0)) < 1e-3
    unrelated = torch.zeros(6, 4) + torch.tensor([1.0, 0, 0, 0])
    assert float(clip_loss(unrelated, unrelated, 3.0)) == pytest.approx(math.log(6), abs=1e-6)


def test_siglip_loss_written_out():
    a, b = rows(4, 3), rows(4, 3, 1)
    same = same_pairs([1, 2, 1, 3])
    table = cosines(a, b)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            if not same[i, j]:
                z = 1 if i == j else -1
                expected += math.log(1 + math.exp(-z * (6 * table[i][j] - 2)))
    assert float(siglip_loss(a, b, 6.0, bias=-2.0, same=same)) == pytest.approx(expected / 4, abs=1e-5)


def test_twins_cost_log_two_until_they_are_masked():
    a = torch.tensor([[1.0, 0], [1, 0], [-1, 0]])
    assert float(clip_loss(a, a, 50.0)) == pytest.approx(2 / 3 * math.log(2), abs=1e-5)
    assert float(clip_loss(a, a, 50.0, same=same_pairs(["cat", "cat", "dog"]))) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_types_are_computed_in_float32(dtype):
    a, b = rows(8, 5).to(dtype), rows(8, 5, 1).to(dtype)
    for loss in (clip_loss, siglip_loss):
        assert float(loss(a, b, 50.0)) == pytest.approx(float(loss(a.float(), b.float(), 50.0)), rel=1e-5)
        assert loss(a, b, 50.0).dtype == torch.float32


def test_the_temperature_is_held_from_above_and_can_come_back():
    temperature = Temperature(0.07)
    assert float(temperature()) == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        temperature.log_scale.fill_(math.log(400))
    scale = temperature()
    assert float(scale) == pytest.approx(100)
    scale.backward()
    assert float(temperature.log_scale.grad) > 0
    for tau in (0.0, -1.0, 0.001, math.nan):
        with pytest.raises(InputError, match="temperature"):
            Temperature(tau)


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 6))
def test_the_queue_holds_the_last_rows(sizes, capacity):
    queue, pushed = Queue(capacity, 2), []
    for size in sizes:
        new = [[float(len(pushed) + i), 1.0] for i in range(size)]
        queue.push(torch.tensor(new).reshape(size, 2))
        pushed += new
        assert len(queue) == min(capacity, len(pushed))
        assert sorted(queue.rows().tolist()) == pushed[-capacity:][: len(queue)]


def test_what_is_queued_has_no_gradient_and_is_saved_with_the_module():
    queue = Queue(3, 2)
    queue.push(torch.ones(2, 2, requires_grad=True) * 2)
    assert not queue.rows().requires_grad
    other = Queue(3, 2)
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.rows(), queue.rows())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: clip_loss(rows(3, 2), rows(4, 2), 1.0), r"\(3, 2\) and \(4, 2\)"),
        (lambda: clip_loss(rows(3, 2), rows(3, 2), 1.0, same=torch.ones(3, 3, dtype=torch.bool)), "a row and itself"),
        (lambda: clip_loss(rows(3, 2), rows(3, 2), 1.0, same=torch.zeros(2, 2, dtype=torch.bool)), r"\(2, 2\) for 3"),
        (lambda: same_pairs([1, 2], [1]), "2, 1 rows"),
        (lambda: same_pairs(), "no rows"),
        (lambda: Queue(0, 2), "0 rows of 2 numbers"),
    ],
)
def test_unfit_vectors_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
