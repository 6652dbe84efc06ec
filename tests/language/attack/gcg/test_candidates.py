"""The moves of the search against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trued.language.attack.gcg.candidates import Buffer, Entry, draw_candidates, steepest_tokens


def test_steepest_tokens_have_the_most_negative_one_hot_gradient():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(30, 5, generator=generator)
    allowed = torch.arange(3, 30, 2)
    gradient = torch.randn(4, 5, generator=generator)
    tokens = steepest_tokens(gradient, table[allowed], allowed, 6)
    slopes = gradient @ table.T
    slopes[:, [i for i in range(30) if i not in allowed]] = torch.inf
    assert [set(row) for row in tokens.tolist()] == [set(row.argsort()[:6].tolist()) for row in slopes]


@given(st.integers(1, 6), st.integers(0, 1000))
def test_candidates_are_different_and_change_at_most_so_many_positions_to_their_own_tokens(n_replace, seed):
    suffix = torch.zeros(6, dtype=torch.long)
    tokens = torch.arange(1, 25).view(6, 4)  # no two positions share a token, and none has the suffix's
    candidates = draw_candidates(suffix, tokens, 40, n_replace, torch.Generator().manual_seed(seed))
    changed = candidates != suffix
    assert (changed.sum(1) == n_replace).all()
    assert len(candidates.unique(dim=0)) == len(candidates) <= 40
    for position in range(6):
        assert set(candidates[changed[:, position], position].tolist()) <= set(tokens[position].tolist())


def test_positions_and_tokens_are_drawn_uniformly():
    suffix = torch.zeros(5, dtype=torch.long)
    tokens = torch.arange(1, 5001).view(5, 1000)
    candidates = draw_candidates(suffix, tokens, 4000, 1, torch.Generator().manual_seed(0))
    counts = (candidates != 0).sum(0).float()
    assert (counts / counts.sum() - 0.2).abs().max() < 0.03
    drawn = candidates[:, 0][candidates[:, 0] > 0]
    assert drawn.float().mean() == pytest.approx(500, abs=40)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(1, 5))
def test_a_buffer_keeps_the_best_different_suffixes(losses, size):
    buffer = Buffer(size)
    for loss in losses:
        buffer.offer(Entry(float(loss), torch.tensor([loss]), False))
    assert [entry.loss for entry in buffer.entries] == sorted(set(losses))[:size]


def test_a_buffer_of_size_zero_holds_the_last_one():
    buffer = Buffer(0)
    for loss in (1.0, 3.0):
        buffer.offer(Entry(loss, torch.tensor([0]), False))
    assert buffer.best.loss == 3.0
