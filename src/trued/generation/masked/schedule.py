"""Masking schedules: how likely a token is still there at time t of a masked diffusion.

A token is kept until time t with probability alpha_t, and is MASK otherwise; alpha_0 = 1 and alpha_1 = 0. Time runs as
in the paper, 0 = text → 1 = all masked. What samplers and losses need is q_t = 1 - alpha_t near 0, where alpha_t itself
has no digits left, so q is what a schedule is written in.

Knows times and probabilities. Knows nothing of tokens or networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trued.errors import InputError, nearest


class MaskSchedule(Protocol):
    """What a masking schedule offers; all of it in float64, for tensors of any shape."""

    @property
    def name(self) -> str: ...

    def masked(self, t: Tensor) -> Tensor:
        """q_t = 1 - alpha_t: the probability of being masked at time t."""
        ...

    def time(self, log_q: Tensor) -> Tensor:
        """The time at which the probability of being masked is e^log_q; log_q = -inf gives 0."""
        ...

    def rate(self, t: Tensor) -> Tensor:
        """-alpha'_t / (1 - alpha_t) = d log q_t / dt: how fast masked tokens appear when time runs backwards."""
        ...


@dataclass(frozen=True)
class Polynomial:
    """alpha_t = 1 - t^k; k = 1 is the linear schedule, the paper's default."""

    k: float = 1.0

    def __post_init__(self) -> None:
        if not (self.k > 0 and math.isfinite(self.k)):
            raise InputError(f"k is {self.k}: a polynomial schedule needs a finite power above 0")

    @property
    def name(self) -> str:
        return "linear" if self.k == 1 else f"polynomial({self.k:g})"

    def masked(self, t: Tensor) -> Tensor:
        return t.double() ** self.k

    def time(self, log_q: Tensor) -> Tensor:
        return (log_q.double() / self.k).exp()

    def rate(self, t: Tensor) -> Tensor:
        return self.k / t.double()


@dataclass(frozen=True)
class Cosine:
    """alpha_t = 1 - cos(pi/2 (1 - t)), so q_t = sin(pi t / 2)."""

    name: str = "cosine"

    def masked(self, t: Tensor) -> Tensor:
        return (math.pi / 2 * t.double()).sin()

    def time(self, log_q: Tensor) -> Tensor:
        return 2 / math.pi * log_q.double().exp().clamp_max(1.0).asin()

    def rate(self, t: Tensor) -> Tensor:
        return math.pi / 2 / (math.pi / 2 * t.double()).tan()


@dataclass(frozen=True)
class Geometric:
    """alpha_t = exp(-b_t) with b_t = bmin^(1-t) bmax^t; it starts and ends only nearly at 1 and 0."""

    bmin: float = 1e-5
    bmax: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.bmin < self.bmax < math.inf:
            raise InputError(f"bmin is {self.bmin} and bmax {self.bmax}: a geometric schedule needs 0 < bmin < bmax")

    @property
    def name(self) -> str:
        return "geometric"

    def masked(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self._b(t))

    def time(self, log_q: Tensor) -> Tensor:
        b = -torch.log1p(-log_q.double().exp().clamp_max(1 - 2.0**-53))
        return ((b.log() - math.log(self.bmin)) / math.log(self.bmax / self.bmin)).clamp(0.0, 1.0)

    def rate(self, t: Tensor) -> Tensor:
        b = self._b(t)
        return math.log(self.bmax / self.bmin) * b / torch.expm1(b)

    def _b(self, t: Tensor) -> Tensor:
        return self.bmin * (math.log(self.bmax / self.bmin) * t.double()).exp()


LINEAR = Polynomial()
SCHEDULES: dict[str, MaskSchedule] = {
    "linear": LINEAR, "cosine": Cosine(), "geometric": Geometric(), "polynomial": Polynomial(2.0)
}  # fmt: skip


def schedule_of(name: str) -> MaskSchedule:
    """Return the schedule called `name`, with its usual parameters (the polynomial of degree 2).

    Raises:
        InputError: there is none.
    """
    if name not in SCHEDULES:
        raise InputError(
            f"no schedule is called {name!r}: choose one of {', '.join(SCHEDULES)}{nearest(name, SCHEDULES)}"
        )
    return SCHEDULES[name]
