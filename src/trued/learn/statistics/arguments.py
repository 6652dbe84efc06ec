"""What the functions of this package are given, as arrays: checked once, with an error that names the argument.

Knows arrays. Knows nothing of statistics.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from trued.errors import InputError


def numbers(values: ArrayLike, name: str) -> np.ndarray:
    """Return `values` as an array of finite numbers, at least one."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not a table of numbers ({error}): every seed needs the same items") from error
    if array.size == 0:
        raise InputError(f"{name} is empty: there is nothing to compare")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name} holds {array[where]} at {where}: drop that item on both sides, or fix the measure")
    return array


def row(values: ArrayLike, name: str) -> Float[np.ndarray, " items"]:
    """Return `values` as one number per item."""
    array = numbers(values, name)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}: expected one number per item")
    return array


def table(values: ArrayLike, name: str) -> Float[np.ndarray, "seeds items"]:
    """Return `values` as one number per seed and item; a single row stands for one seed."""
    array = numbers(values, name)
    if array.ndim not in (1, 2):
        raise InputError(f"{name} has shape {array.shape}: expected [seeds, items] or [items]")
    return np.atleast_2d(array)


def booleans(values: ArrayLike, name: str) -> np.ndarray:
    """Return `values` as booleans, one per item."""
    array = row(values, name)
    if not np.isin(array, (0, 1)).all():
        raise InputError(f"{name} holds values other than true and false")
    return array.astype(bool)


def same_length(baseline: np.ndarray, method: np.ndarray) -> None:
    """Raise `InputError` unless there is one of each per item."""
    if len(baseline) != len(method):
        raise InputError(
            f"baseline and method differ in length ({len(baseline)} and {len(method)}): one of each per item"
        )


def positive(value: int, name: str) -> int:
    """Return `value`, or raise `InputError` if it is below 1."""
    if value < 1:
        raise InputError(f"{name} {value}: expected at least 1")
    return value


def share(value: float, name: str) -> float:
    """Return `value`, or raise `InputError` unless it lies inside (0, 1)."""
    if not 0 < value < 1:
        raise InputError(f"{name} {value}: expected a number inside (0, 1)")
    return value
