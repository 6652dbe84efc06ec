"""Masking schedules: ends, inverses and rates, against derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.generation.masked.schedule import (
    LINEAR,
    SCHEDULES,
    Geometric,
    Polynomial,
    schedule_of,
)

times = st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=5).map(lambda t: torch.tensor(t, dtype=torch.float64))
named = pytest.mark.parametrize("schedule", [*SCHEDULES.values(), Polynomial(0.5)], ids=lambda s: s.name)


@named
@given(t=times)
def test_time_undoes_the_probability(schedule, t):
    assert schedule.time(schedule.masked(t).log()).tolist() == pytest.approx(t.tolist(), rel=1e-6, abs=1e-9)


@named
def test_the_rate_is_the_derivative_of_log_q(schedule):
    t = torch.tensor([0.05, 0.3, 0.7, 0.95], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(schedule.masked(t).log().sum(), t)
    assert schedule.rate(t.detach()).tolist() == pytest.approx(slope.tolist(), rel=1e-9)


@named
def test_it_rises_from_text_to_mask(schedule):
    q = schedule.masked(torch.linspace(0, 1, 50).double())
    assert bool((q.diff() > 0).all())
    assert float(q[0]) == pytest.approx(0.0, abs=2e-5)
    assert float(q[-1]) == pytest.approx(1.0, abs=1e-8)
    assert float(schedule.time(torch.tensor(-math.inf))) == 0.0


def test_small_probabilities_keep_their_digits():
    log_q = torch.tensor(-80.0, dtype=torch.float64)
    assert float(LINEAR.time(log_q)) == pytest.approx(math.exp(-80))
    assert float(Polynomial(2.0).time(log_q)) == pytest.approx(math.exp(-40))
    assert float(schedule_of("cosine").time(log_q)) == pytest.approx(2 / math.pi * math.exp(-80))
    q = Geometric(1e-12).masked(torch.tensor(0.0))
    assert float(q) == pytest.approx(1e-12, rel=1e-6)


def test_unfit_schedules():
    with pytest.raises(InputError, match=r"'cosin'.*did you mean cosine"):
        schedule_of("cosin")
    with pytest.raises(InputError, match="k is 0"):
        Polynomial(0)
    with pytest.raises(InputError, match="0 < bmin < bmax"):
        Geometric(1.0, 0.5)
