"""Probe sampling against its definition: how many are kept, which, and that the best of them is returned."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from trued.language.attack.gcg.probe_sampling import probe_sample, rank_correlation

COUNT = 128


def scoring(losses, calls=None):
    """A model whose candidates are their own numbers: candidate [i] has loss losses[i]."""

    def score(candidates):
        if calls is not None:
            calls.append(candidates[:, 0].tolist())
        return losses[candidates[:, 0]], candidates[:, 0] == 3

    return score


def sample(target, draft, calls=None, seed=0):
    candidates = torch.arange(len(target))[:, None]
    generator = torch.Generator().manual_seed(seed)
    return probe_sample(candidates, scoring(target, calls), scoring(draft), generator=generator)


def drawn(seed, count=COUNT):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 50))
def test_a_draft_that_equals_the_target_keeps_one_and_finds_the_best(seed):
    losses = drawn(seed)
    result = sample(losses, losses, seed=seed)
    assert result.agreement == pytest.approx(1)
    assert result.kept == 1
    assert len(result.rows) <= COUNT // 16 + 1
    assert result.losses.min() == losses.min()
    assert result.rows[result.losses.argmin()] == losses.argmin()


def test_a_draft_that_says_the_opposite_keeps_an_eighth():
    losses = drawn(0)
    result = sample(losses, -losses)
    assert result.agreement == pytest.approx(0)
    assert result.kept == COUNT // 8
    assert set(losses.argsort(descending=True)[: COUNT // 8].tolist()) <= set(result.rows.tolist())


@given(st.integers(0, 1000), st.sampled_from([2, 5, 17, 64, 128, 200]))
def test_what_is_scored_follows_from_the_rank_correlation_on_the_probe(seed, count):
    target, draft = drawn(seed, count), drawn(seed + 5000, count)
    calls: list[list[int]] = []
    result = sample(target, draft, calls, seed)
    probe, *rest = calls
    assert len(probe) == max(2, count // 16)
    rho = float(spearmanr(target[probe].numpy(), draft[probe].numpy())[0])  # pyright: ignore
    keep = max(1, math.floor((1 - (1 + rho) / 2) * count / 8 + 1e-9))
    assert result.kept == keep
    assert {*probe, *draft.argsort()[:keep].tolist()} == set(result.rows.tolist())
    assert sorted(result.rows.tolist()) == sorted([*probe, *(row for rows in rest for row in rows)])  # each scored once
    torch.testing.assert_close(result.losses, target[result.rows])
    assert result.exact.tolist() == (result.rows == 3).tolist()
    assert len(rest) <= 1


def test_the_probe_is_drawn_by_the_generator():
    losses = drawn(0)
    first, again, other = (sample(losses, losses, seed=seed).rows.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_rank_correlation_of_what_has_no_order_is_zero():
    equal = torch.ones(4)
    assert rank_correlation(equal, torch.arange(4.0)) == 0
    assert rank_correlation(torch.arange(4.0), equal) == 0
    assert rank_correlation(torch.ones(1), torch.ones(1)) == 0
    assert rank_correlation(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 8.0, 9.0])) == pytest.approx(1)
