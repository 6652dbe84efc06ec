"""What one seed measured: checked numbers, kept exactly as the verdict will see them.

Knows claims, seeds and arrays of numbers. Knows nothing of stores, statistics or reports.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from trued.errors import InputError
from trued.papers.card import Claim

Role = Literal["baseline", "method", "control"]
TIMED = "lab: timed claims"  # the record of a seed that names them, so that a continued run knows them too


@dataclass
class SeedData:
    """Everything that a seed leaves behind when its loop body has finished.

    Attributes:
        measurements: claim id → role → values, one per item (a single one for a scalar).
        records: key → JSON value that the experiment wants back when it draws its figures.
        exhibits: figures, tables and examples made within the seed, as JSON.
        seconds: wall-clock time of the loop body.
        peak_bytes: highest memory of the process so far, accelerators included.
    """

    measurements: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)
    exhibits: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def timed(self) -> set[str]:
        """The claims whose values come from a clock or a memory meter."""
        return set(self.records.get(TIMED, ()))


def values_of(raw: Any, *, claim: Claim, seed: int, role: Role) -> list[float]:
    """Return the values of one arm as finite floats of six significant digits.

    They are rounded here, before anything is computed from them, so that the evidence file holds exactly the numbers
    behind the verdict. Booleans count as 1 and 0, as shares do.

    Args:
        raw: a number, or one number per item: a sequence, an array or a tensor of one dimension.
        claim: the claim that is measured, for its unit and for messages.
        seed: the seed in progress, for messages.
        role: which arm the values belong to, for messages.

    Raises:
        InputError: not numbers, more than one dimension, empty, not finite, percentages where the claim has shares,
            or not positive where its margin is a ratio.
    """
    where = f"claim '{claim.id}', seed {seed}, {role}"
    if hasattr(raw, "detach"):  # a tensor: bfloat16 and accelerators have no way into NumPy
        raw = raw.detach().cpu().double().numpy()
    array = np.asarray(raw)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: {array.dtype} values; expected a number or a one-dimensional array of numbers")
    if array.ndim > 1 or array.size == 0:
        raise InputError(f"{where}: shape {array.shape}; expected a number or one number per item")
    array = np.atleast_1d(array).astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(array))
    if broken.size:
        raise InputError(
            f"{where}: item {broken[0]} is {array[broken[0]]} ({broken.size} of {array.size} are not finite); "
            "a measurement must be a finite number"
        )
    if claim.margin.ratio and array.min() <= 0:
        raise InputError(f"{where}: {array.min():g}, but the claim's margin is a ratio, which needs positive numbers")
    if claim.unit == "points" and np.abs(array).max() > 1:
        raise InputError(
            f"{where}: {array[np.abs(array).argmax()]:g} is no share; give shares from 0 to 1, not percent"
        )
    return [float(f"{value:.6g}") for value in array.tolist()]


def json_copy(value: Any, *, what: str) -> Any:
    """Return `value` as it will look when it is read back from JSON, so that a resumed run sees the same.

    Raises:
        TypeError: the value has no place in JSON.
        ValueError: it holds a number that is not finite.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except TypeError as error:
        raise TypeError(f"{what}: {error}; keep plain numbers, strings, lists and dicts") from None
    except ValueError as error:
        raise ValueError(f"{what}: {error}; use None for a number that is missing") from None


def same_items(claim: Claim, seed: int, values: Sequence[float], expected: int, of: str) -> None:
    """Raise InputError unless there are as many values as `expected`, the number of items of `of`."""
    if len(values) != expected:
        raise InputError(
            f"claim '{claim.id}', seed {seed}: {len(values)} values, but {expected} for {of}; "
            "values are compared item by item, so each arm and seed measures the same items"
        )
