"""Seeds: whole numbers that every generator takes."""

from __future__ import annotations

import pytest
import torch

from trued.errors import InputError
from trued.learn.fit.config import FitConfig
from trued.learn.seed import LARGEST, check_seed, seeded


def test_a_seed_makes_the_same_numbers():
    assert torch.equal(torch.rand(3, generator=seeded(7)), torch.rand(3, generator=seeded(7)))
    assert check_seed(LARGEST) == 2**63 - 1
    seeded(LARGEST)


@pytest.mark.parametrize("seed", [-1, 2**63, 99999999999999999999, 1.5, True, "7"])
def test_what_is_no_seed_is_one_sentence(seed):
    with pytest.raises(InputError, match=f"seed is {seed}: give a whole number from 0"):
        seeded(seed)
    with pytest.raises(InputError, match=f"seed is {seed}"):
        FitConfig(steps=1, batch_size=1, seed=seed)
