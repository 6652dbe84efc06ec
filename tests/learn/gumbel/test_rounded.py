"""The law of Gumbel noise on a grid, against the sum that defines it, a simulation, and real 32-bit noise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.learn.gumbel.rounded import rounded_gumbel_probs, rounded_move_law
from trued.learn.gumbel.truncated import truncated_gumbel_probs

COARSE = 2.0**-8
P = torch.tensor([0.6, 0.3, 0.05, 0.03, 0.015, 0.004, 0.001], dtype=torch.float64)


def test_a_class_wins_as_often_as_the_sum_over_the_grid_says():
    for p, step in ((1e-3, 1e-4), (1e-4, 1e-4), (1e-5, 1e-4)):
        r = (1 - p) / p
        exact = math.fsum(step * (1 - i * step) ** r for i in range(1, round(1 / step)))
        result = rounded_gumbel_probs(torch.tensor([p, 1 - p]), step=step)[0]
        assert float(result) == pytest.approx(exact, rel=2e-3)


def test_a_simulation_on_a_coarse_grid_follows_it_and_not_the_noise_that_is_cut_off():
    p, count = P / P.sum(), 1_000_000
    u = torch.rand(count, len(p), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = (u / COARSE).floor() * COARSE
    drawn = torch.bincount((p.log() - (-u.log()).log()).argmax(1), minlength=len(p)) / count
    rounded = rounded_gumbel_probs(p, step=COARSE)
    cut = truncated_gumbel_probs(p, -math.log(-math.log1p(-COARSE)))
    assert torch.allclose(drawn.double(), rounded, atol=2e-3)
    assert float(drawn[5]) == pytest.approx(float(rounded[5]), rel=0.06)  # 0.0024, where cut noise leaves 0.0015
    assert float(cut[5]) < 0.7 * float(drawn[5])


@pytest.mark.parametrize("times", [0.3, 1.0, 4.0, 30.0])
def test_the_noise_that_torch_makes_from_32_bits_follows_it(times):
    """A rare class beside one that has the rest: its race, summed over the largest numbers that float32 can draw."""
    step = 2.0**-24
    p = times * step
    u = 1 - torch.arange(1, 4000, dtype=torch.float32) * step  # exact in float32
    noise = u.log().neg().log().neg().double() + math.log(p / (1 - p))
    wins = float((step * torch.exp(-torch.exp(-noise))).sum())  # the other's noise stays below
    assert float(rounded_gumbel_probs(torch.tensor([p, 1 - p]).double())[0]) == pytest.approx(wins, rel=1e-3)
    assert wins / p == pytest.approx((1 / times) / math.expm1(1 / times), rel=1e-3)


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=8))
def test_a_fine_grid_changes_nothing_and_a_coarse_one_favours_the_likely(weights):
    p = torch.tensor(weights, dtype=torch.float64)
    p = p / p.sum()
    assert torch.allclose(rounded_gumbel_probs(p, step=1e-12), p, atol=1e-6)
    factor = rounded_gumbel_probs(p, step=1e-4) / p
    assert (factor[p.argsort()].diff() >= -1e-9).all()


def test_moving_in_many_steps_loses_more_and_in_one_what_a_race_loses():
    p = P / P.sum()
    assert torch.allclose(rounded_move_law(p, [1.0], step=COARSE), rounded_gumbel_probs(p, step=COARSE), atol=1e-9)
    many = rounded_move_law(p, [1 / k for k in range(20, 0, -1)], step=COARSE)
    assert float(many.sum()) == pytest.approx(1.0)
    assert float(many[-1]) < float(rounded_gumbel_probs(p, step=COARSE)[-1])
    with pytest.raises(InputError, match="no distribution"):
        rounded_gumbel_probs(torch.tensor([0.5, 0.6]))
    with pytest.raises(InputError, match="step is 0"):
        rounded_gumbel_probs(p, step=0)
