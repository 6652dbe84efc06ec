"""Numbers of texts: the same everywhere, and spread evenly."""

import numpy as np
import pytest
from scipy import stats

from trued.data.hashed import hashed_share


def test_a_texts_number_is_its_own_on_every_machine():
    assert hashed_share("Paris") == hashed_share("Paris")
    # the first 8 bytes of the SHA-256 of no bytes at all are e3b0c44298fc1c14
    assert hashed_share("") == pytest.approx(0xE3B0C44298FC1C14 / 2**64)


def test_many_texts_are_spread_evenly():
    shares = [hashed_share(f"text {number}") for number in range(2000)]
    assert 0 <= min(shares) < max(shares) < 1
    assert stats.kstest(np.array(shares), "uniform").pvalue > 0.01
