"""The settings refuse what makes no sense, and the learning rate follows its closed form."""

import math

import pytest

from trued.errors import InputError
from trued.learn.fit.config import FitConfig, learning_rate


@pytest.mark.parametrize(
    ("schedule", "falls"),
    [("cosine", lambda t: (1 + math.cos(math.pi * t)) / 2), ("linear", lambda t: 1 - t), ("constant", lambda t: 1.0)],
)
def test_the_learning_rate_rises_linearly_and_then_follows_its_schedule(schedule, falls):
    settings = FitConfig(steps=20, batch_size=1, lr=0.3, warmup=0.2, schedule=schedule)
    rates = [learning_rate(settings, step, 20) for step in range(20)]
    assert rates[:4] == pytest.approx([0.3 * k / 4 for k in (1, 2, 3, 4)])
    assert rates[4:] == pytest.approx([0.3 * falls((step - 4) / 16) for step in range(4, 20)])
    assert rates[4] == 0.3
    assert rates[-1] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 1}, "steps is 5 and epochs is 1"),
        ({"batch_size": None}, "give exactly one"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": 0.0}, "above 0"),
        ({"warmup": 1.0}, "from 0 to below 1"),
        ({"accumulation": 0}, "at least 1"),
        ({"patience": 0}, "at least 1"),
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"mixed_precision": "fp16"}, "choose one of no, bf16"),
        ({"trackers": "tensorboard"}, "tuple of names"),
    ],
)
def test_unfit_settings_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        FitConfig(**{"steps": 5, "batch_size": 2, **changes})
