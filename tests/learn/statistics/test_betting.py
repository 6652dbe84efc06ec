"""E-processes: their mean, their bets, and how often they raise an alarm."""

import itertools
import math

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from trued.errors import InputError
from trued.learn.statistics import e_process


@pytest.mark.parametrize("p0", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("n", [1, 4, 9])
def test_e_process_has_mean_one_at_the_null_and_less_below_it(p0, n):
    sequences = np.array(list(itertools.product([False, True], repeat=n)))
    wealth = np.exp([e_process(x, p0)[-1] for x in sequences])
    for p, relation in ((p0, "one"), (p0 / 2, "less")):
        chances = np.where(sequences, p, 1 - p).prod(axis=1)
        mean = float(chances @ wealth)
        assert mean == pytest.approx(1) if relation == "one" else mean <= 1 + 1e-12


def test_e_process_is_the_stated_bet():
    x, p0, wealth = [True, True, False, True, False, False, False], 0.3, 1.0
    for t, outcome in enumerate(x):
        q = max(p0, (sum(x[:t]) + 0.5) / (t + 1))
        wealth *= 1 + (q - p0) / (p0 * (1 - p0)) * (outcome - p0)
        assert e_process(x[: t + 1], p0)[-1] == pytest.approx(math.log(wealth))


def test_e_process_false_alarms_are_rare_and_a_raised_rate_is_found():
    rng = np.random.default_rng(0)
    alarm = math.log(1 / 0.05)
    calm = np.mean([e_process(rng.random(300) < 0.1, 0.1).max() >= alarm for _ in range(400)])
    raised = np.mean([e_process(rng.random(300) < 0.25, 0.1).max() >= alarm for _ in range(100)])
    assert calm <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert raised >= 0.95


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: e_process([True], 0.0), "p0 0.0"),
        (lambda: e_process([], 0.5), "outcomes is empty"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((InputError, TypeCheckError), match=message):  # runtime type checks may see it first
        call()
