"""The text of numbers, changes and intervals, the same in the terminal, the report and a verdict's reason.

Knows units and significant digits. Knows nothing of how a number came about. Shares are kept from 0 to 1 and printed
as percentages, their differences as points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trued.papers.card import Claim, PaperFigures

if TYPE_CHECKING:
    from trued.learn.statistics import Interval


def numbers(values: Sequence[float], *, sign: bool = False) -> list[str]:
    """Return numbers that are read side by side, with the same decimals: three digits for the largest of them."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest and not 1e-4 <= largest < 1e6:
        return [f"{value:{'+' if sign else ''}.2e}".replace("-", "−") for value in values]
    decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    if all(math.isclose(value, round(value), abs_tol=0.5 * 10**-decimals) for value in values):
        decimals = 0
    texts = [f"{round(value, decimals) + 0.0:{'+' if sign else ''},.{decimals}f}" for value in values]
    return [text.lstrip("+") if float(text.replace(",", "")) == 0 else text.replace("-", "−") for text in texts]


def parameters(count: int) -> str:
    """Return a number of parameters in words: "4.9M parameters"; one below a million in full."""
    return f"{count / 1e6:.1f}M parameters" if count >= 1e6 else f"{count:,} parameters"


def number(value: float) -> str:
    """Return one number."""
    return f"{value:.3g}".replace("-", "−") if 1e-4 <= abs(value) < 1000 else numbers([value])[0]


def percent(share: float, *, lower_bound: bool = False) -> str:
    """Return a share as a percentage, such as `62 %`; one that may be higher says so: `≥ 62 %`."""
    return f"{'≥ ' if lower_bound else ''}{100 * share:.0f} %"


def rate(share: float, low: float, high: float, *, lower_bound: bool = False) -> str:
    """Return a share with its interval, such as `≥ 62 % [43, 91]`."""
    return f"{percent(share, lower_bound=lower_bound)} {share_interval(low, high)}"


def share_interval(low: float, high: float) -> str:
    """Return the interval of a share in per cent, such as `[43, 91]`."""
    return f"[{100 * low:.0f}, {100 * high:.0f}]"


def amounts(claim: Claim, effects: Sequence[float]) -> tuple[list[str], str]:
    """Return effects as numbers and the unit that follows them; effects of a ratio claim are logarithms."""
    if claim.margin.ratio:
        close = all(abs(effect) < math.log(1.5) for effect in effects)  # what counts is the distance from 1
        ratios = [math.exp(effect) for effect in effects]
        return ([f"{ratio:.3f}" for ratio in ratios] if close else numbers(ratios)), ""
    if claim.unit == "points":
        return numbers([100 * effect for effect in effects]), " points"
    return numbers(effects), f" {claim.unit}"


def levels(claim: Claim, before: float, after: float) -> str:
    """Return "before → after" in the metric's own unit, such as `71 → 22 %`."""
    if claim.unit == "points":
        return " → ".join(numbers([100 * before, 100 * after])) + " %"
    unit = "" if claim.margin.ratio else f" {claim.unit}"
    return " → ".join(numbers([before, after])) + unit


def paper_levels(paper: PaperFigures | None) -> str:
    """Return the paper's own figures, such as `85 → 5 % GCG`, or a dash."""
    if not paper:
        return "–"
    known = [value for value in (paper.baseline, paper.method) if value is not None]
    unit = paper.unit or ""
    return " → ".join(numbers(known)) + (f" {unit}" if unit else "")


def change(claim: Claim, effect: Interval) -> str:
    """Return the interval of method against baseline, such as `[−58, −39 points]`, `[+2, +5 %]` or `[÷9.4, ÷8.1]`.

    Args:
        effect: oriented as the claim is: positive as claimed. The change printed is method minus baseline.
    """
    low, high = (-effect.high, -effect.low) if claim.better == "lower" else (effect.low, effect.high)
    if not claim.margin.ratio:
        factor, unit = (100, " points") if claim.unit == "points" else (1, f" {claim.unit}")
        first, second = numbers([factor * low, factor * high], sign=True)
        return f"[{first}, {second}{unit}]"
    if max(abs(low), abs(high)) <= math.log(2):
        first, second = numbers([100 * math.expm1(low), 100 * math.expm1(high)], sign=True)
        return f"[{first}, {second} %]"
    sign, down = ("÷", -1) if high < 0 else ("×", 1)
    first, second = numbers([math.exp(down * low), math.exp(down * high)])
    return f"[{sign}{first}, {sign}{second}]"


def duration(seconds: float) -> str:
    """Return a duration as people say it: `4.2 s`, `48 s`, `8 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def seed_names(seeds: Sequence[int]) -> str:
    """Name seeds as a person would: `seed 7`, `seeds 0, 1, 2`."""
    return f"seed{'s' if len(seeds) != 1 else ''} {', '.join(map(str, seeds))}"


def memory(size: int) -> str:
    """Return a number of bytes as MiB or GiB; a dash where it is unknown."""
    if not size:
        return "–"
    mebibytes = size / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"
