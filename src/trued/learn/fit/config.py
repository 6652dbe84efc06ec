"""How a model is to be trained: the settings of `fit`, checked when they are made.

Knows numbers. Knows nothing of models, data or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from trued.errors import InputError, nearest
from trued.learn.seed import check_seed

Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class FitConfig:
    """The settings of one training run.

    Args:
        steps: optimiser steps; exactly one of this and `epochs` is given.
        epochs: passes over the data, rounded up to whole optimiser steps.
        lr: the peak learning rate of AdamW.
        betas: AdamW's decay of the first and second moment.
        eps: AdamW's term beside the root of the second moment.
        weight_decay: decoupled weight decay of the matrices; vectors and scalars (biases, norms) are not decayed.
        warmup: fraction of the steps over which the learning rate rises linearly from 0 to `lr`.
        schedule: how the learning rate falls to 0 after the warm-up, or stays.
        max_grad_norm: the gradient's L2 norm is clipped to this; None clips nothing.
        batch_size: rows in a batch; exactly one of this and `max_tokens` is given.
        max_tokens: tokens in a batch, padding included; rows of similar length share a batch.
        accumulation: batches that make up one optimiser step, in each process.
        mixed_precision: "bf16" computes the loss under autocast; weights and optimiser states keep their own type.
        seed: decides the order of the data and the random numbers of each step.
        validate_every: steps between validations; None validates at the end only.
        patience: validations without improvement after which training stops; None never stops early.
        keep_best: restore the weights of the best validation at the end.
        checkpoint_every: steps between checkpoints; None writes one only at the end and at Ctrl-C.
        trackers: names that accelerate's `log_with` knows, such as "tensorboard" or "wandb".

    Raises:
        InputError: a value is outside what is described here.
    """

    steps: int | None = None
    epochs: float | None = None
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup: float = 0.1
    schedule: Schedule = "cosine"
    max_grad_norm: float | None = 1.0
    batch_size: int | None = None
    max_tokens: int | None = None
    accumulation: int = 1
    mixed_precision: Literal["no", "bf16"] = "no"
    seed: int = 0
    validate_every: int | None = None
    patience: int | None = None
    keep_best: bool = True
    checkpoint_every: int | None = None
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for first, other in (("steps", "epochs"), ("batch_size", "max_tokens")):
            if (getattr(self, first) is None) == (getattr(self, other) is None):
                raise InputError(
                    f"{first} is {getattr(self, first)} and {other} is {getattr(self, other)}: give exactly one of them"
                )
        for name in (
            "steps",
            "batch_size",
            "max_tokens",
            "accumulation",
            "validate_every",
            "patience",
            "checkpoint_every",
        ):
            _require(self, name, "at least 1, in whole numbers", lambda value: value >= 1 and value == int(value))
        check_seed(self.seed)
        for name in ("epochs", "lr", "eps", "max_grad_norm"):
            _require(self, name, "a finite number above 0", lambda value: 0 < value < math.inf)
        _require(self, "weight_decay", "a finite number from 0", lambda value: 0 <= value < math.inf)
        _require(self, "warmup", "a fraction of the steps, from 0 to below 1", lambda value: 0 <= value < 1)
        if isinstance(self.trackers, str):
            raise InputError(
                f"trackers is {self.trackers!r}: it must be a tuple of names, such as ({self.trackers!r},)"
            )
        for name, choices in (("schedule", ("cosine", "linear", "constant")), ("mixed_precision", ("no", "bf16"))):
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name} is {value!r}: choose one of {', '.join(choices)}{nearest(value, choices)}")


def learning_rate(config: FitConfig, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    With W = ceil(warmup * steps) and t = (step - W) / (steps - W), it is lr (step + 1) / W while step < W, and then
    lr (1 + cos pi t) / 2, lr (1 - t) or lr for the schedules cosine, linear and constant.

    Args:
        config: the settings.
        step: steps that were completed before this one, from 0.
        steps: how many steps the run has.
    """
    rising = math.ceil(config.warmup * steps)
    if step < rising:
        return config.lr * (step + 1) / rising
    t = (step - rising) / max(steps - rising, 1)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * t))
    return config.lr * (1 - t) if config.schedule == "linear" else config.lr


def _require(config: FitConfig, name: str, expected: str, holds) -> None:
    value = getattr(config, name)
    if value is not None and not holds(value):
        raise InputError(f"{name} is {value}: it must be {expected}")
