"""Which perturbation each adversarial batch is trained on: MixAT's schedule (arXiv 2505.16947, training step 1; code).

A mode names what is done to the requests of a batch: "C" attacks their embeddings, "D" has them rewritten, "G" gives
them an optimised suffix, "C+D" and "C+G" attack the rewritten ones, "clean" leaves them as they are.

Knows names and shares. Knows nothing of rewriters, rows or models. The released code indexes its schedule by
micro-batch, so that batches without adversarial rows use entries up; here only adversarial batches are counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from trued.errors import InputError, nearest
from trued.learn.fit.batches import derived_seed

Mode = Literal["clean", "C", "D", "G", "C+D", "C+G"]
Variant = Literal["mixat", "c", "d", "dual", "mixat-gcg", "clean"]
MODES: tuple[Mode, ...] = get_args(Mode)
VARIANTS: tuple[Variant, ...] = get_args(Variant)

DECREASING = (0.8, 0.05)
"""The paper's decreasing curriculum of alpha, from its start to its end."""
INCREASING = (0.05, 0.8)
"""The increasing one."""

_WINDOW = 8  # batches over which a changing share is kept exactly


@dataclass(frozen=True)
class MixSchedule:
    """The modes of a run's adversarial batches, fixed before training by the seed and their number.

    Args:
        shares: mode → share of the adversarial batches; they sum to 1.
        end: the shares at the end of a curriculum, which goes there in a straight line; None keeps them constant.
        exact: permute exact counts, as the released code does; False draws each batch by itself.
        seed: of the permutation or the draws.

    Raises:
        InputError: an unknown mode, a share outside [0, 1], or shares that do not sum to 1.
    """

    shares: Mapping[Mode, float]
    end: Mapping[Mode, float] | None = None
    exact: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for shares in (self.shares, self.end or self.shares):
            for mode, share in shares.items():
                if mode not in MODES:
                    raise InputError(f"unknown mode {mode!r}{nearest(mode, MODES)} (known: {', '.join(MODES)})")
                if not 0 <= share <= 1:
                    raise InputError(f"the share of mode {mode} is {share}: it lies between 0 and 1")
            total = sum(shares.values())
            if abs(total - 1) > 1e-6:
                raise InputError(f"the shares of the modes sum to {total:g}: make them sum to 1")

    def shares_at(self, n: int, batches: int) -> dict[Mode, float]:
        """Return the shares at adversarial batch `n` of `batches`."""
        end = self.shares if self.end is None else self.end
        t = n / max(1, batches - 1)
        return {m: (1 - t) * self.shares.get(m, 0.0) + t * end.get(m, 0.0) for m in MODES}

    def modes(self, batches: int) -> list[Mode]:
        """Return the mode of each of `batches` adversarial batches.

        With `exact` and constant shares the counts are the shares of `batches`, rounded by largest remainder. In a
        curriculum they are so in every eight batches, what rounding left over being carried to the next eight.
        """
        generator = torch.Generator().manual_seed(derived_seed("modes", self.seed))
        shares = torch.tensor([[self.shares_at(n, batches)[m] for m in MODES] for n in range(batches)]).double()
        if not self.exact:
            return [MODES[int(torch.multinomial(row, 1, generator=generator))] for row in shares]
        window = batches if self.end is None else _WINDOW
        owed = torch.zeros(len(MODES), dtype=torch.double)
        drawn: list[Mode] = []
        for part in shares.split(max(1, window)):
            owed += part.sum(0)
            counts = _rounded(owed.tolist(), len(part))
            owed -= torch.tensor(counts)
            modes = [mode for mode, count in zip(MODES, counts, strict=True) for _ in range(count)]
            drawn += [modes[i] for i in torch.randperm(len(modes), generator=generator).tolist()]
        return drawn


def schedule_of(
    variant: Variant, *, alpha: float = 0.5, alpha_end: float | None = None, gcg_share: float = 0.1, exact: bool = True,
    seed: int = 0,
) -> MixSchedule:  # fmt: skip
    """Return the schedule of one of the paper's variants (ablation tables).

    Args:
        variant: "mixat" (C+D with share alpha, else C), "c" (embeddings only: C-AdvUL), "d" (rewrites only: PAP-AT),
            "dual" (D or C, never both: DualAT), "mixat-gcg" (MixAT whose share `gcg_share` is C+G), or "clean", the
            control that attacks nothing.
        alpha: the share of rewritten batches among those that are not G.
        alpha_end: where a curriculum takes alpha; see `DECREASING` and `INCREASING`.
        gcg_share: of "mixat-gcg"; with the defaults it gives the paper's 45, 10 and 45 per cent.

    Raises:
        InputError: an unknown variant, or a share outside [0, 1].
    """
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r}{nearest(variant, VARIANTS)} (known: {', '.join(VARIANTS)})")
    for name, value in (("alpha", alpha), ("alpha_end", alpha_end), ("gcg_share", gcg_share)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{name} is {value}: a share of the adversarial batches lies between 0 and 1")

    def shares(alpha: float) -> dict[Mode, float]:
        rest = 1 - gcg_share
        table: dict[Variant, dict[Mode, float]] = {
            "mixat": {"C+D": alpha, "C": 1 - alpha},
            "c": {"C": 1.0},
            "d": {"D": 1.0},
            "dual": {"D": alpha, "C": 1 - alpha},
            "mixat-gcg": {"C+D": alpha * rest, "C+G": gcg_share, "C": (1 - alpha) * rest},
            "clean": {"clean": 1.0},
        }
        return table[variant]

    return MixSchedule(shares(alpha), None if alpha_end is None else shares(alpha_end), exact, seed)


def _rounded(owed: list[float], total: int) -> list[int]:
    """Round to whole numbers that sum to `total`: down first, then the largest remainders up."""
    counts = [max(0, math.floor(value + 1e-9)) for value in owed]
    by_remainder = sorted(range(len(owed)), key=lambda i: counts[i] - owed[i])
    for i in by_remainder[: max(0, total - sum(counts))]:
        counts[i] += 1
    for i in reversed(by_remainder):  # more than were due, where several modes are owed less than nothing
        surplus = sum(counts) - total
        counts[i] -= min(counts[i], max(0, surplus))
    return counts
