"""What many steps leave of a law, against the exact law, the laws it is made of, and a simulation."""

from __future__ import annotations

import pytest
import torch

from trued.learn.gumbel.many_steps import after_steps
from trued.learn.gumbel.truncated import gumbel_limit, truncated_gumbel_probs

ZIPF = torch.arange(1, 2001, dtype=torch.float64) ** -1.2
ZIPF = ZIPF / ZIPF.sum()
ENTROPY = float(-(ZIPF * ZIPF.log()).sum())


@pytest.mark.parametrize("rounded", [False, True])
def test_few_steps_over_few_classes_leave_the_law_as_it_is(rounded):
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    left = after_steps(p, 4, rounded=rounded)
    entropy = float(-(p * p.log()).sum())
    assert left["surprisal"] == pytest.approx(entropy, abs=1e-4)
    assert left["entropy"] == pytest.approx(entropy, abs=1e-4)
    assert left["temperature"] == pytest.approx(1, abs=1e-3)


def test_one_step_is_a_race_whose_noise_ends():
    law = truncated_gumbel_probs(ZIPF, gumbel_limit())
    assert after_steps(ZIPF, 1)["surprisal"] == pytest.approx(float(-(law * ZIPF.log()).sum()), rel=1e-6)


def test_more_steps_sharpen_more_and_rounded_noise_less_than_noise_that_is_cut_off():
    cut = [after_steps(ZIPF, steps) for steps in (1, 256, 4096)]
    rounded = [after_steps(ZIPF, steps, rounded=True) for steps in (1, 256, 4096)]
    for forms in (cut, rounded):
        for key in ("surprisal", "entropy", "temperature"):
            values = [form[key] for form in forms]
            assert values == sorted(values, reverse=True)
            assert values[-1] < (1 if key == "temperature" else ENTROPY) - 0.01
    assert all(a["surprisal"] >= b["surprisal"] - 1e-9 for a, b in zip(rounded, cut, strict=True))
    assert rounded[-1]["surprisal"] > cut[-1]["surprisal"] + 0.01


def test_some_positions_are_left_for_the_last_step():
    left = after_steps(ZIPF, 64)["last"]
    assert 1 / 64 <= left < 0.05  # with exact noise it is one in 64
    assert "last" not in after_steps(ZIPF, 4, rounded=True)
