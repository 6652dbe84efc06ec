"""Arms of an experiment: what each recorded in every seed, pooled into means and rows of a table.

Knows records as JSON objects and arms as lists of them, one a seed. Knows nothing of what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trued.learn.statistics import Interval, paired_bootstrap

Record = Mapping[str, Any]
Runs = Sequence[Record]
Arms = Mapping[str, Runs]
Value = str | Callable[[Any], Any]
"""What is read from a record: a key, keys joined by dots ("gcg.losses"), or a function of the record."""
Column = Callable[[Runs], str]

MISSING = "–"


def read(record: Record, value: Value) -> Any:
    """Return a value of a record.

    Raises:
        KeyError: the record has no such key.
    """
    if callable(value):
        return value(record)
    for key in value.split("."):
        record = record[key]
    return record


def values(runs: Runs, value: Value) -> np.ndarray:
    """Return the mean over items in every seed, [seeds]."""
    return np.array([np.mean(read(record, value)) for record in runs])


def mean(runs: Runs, value: Value) -> float:
    """Return the mean over seeds of the means over items."""
    return float(values(runs, value).mean())


def spread(table: np.ndarray) -> np.ndarray:
    """Return how far the least and the largest seed lie from the mean, as matplotlib's error bars want it.

    Args:
        table: [seeds, ...].

    Returns:
        [2, ...], not negative.
    """
    middle = table.mean(0)
    return np.stack([middle - table.min(0), table.max(0) - middle]).clip(min=0)


def by_seed(records: Mapping[int, Record]) -> dict[str, list[Record]]:
    """Return the records of one arm as arms of their own, named by their seeds: a table with one row a seed."""
    return {str(seed): [record] for seed, record in records.items()}


def number(value: Value, spec: str = ".2f") -> Column:
    """Return a table's column: the mean over seeds and items, as `spec` formats it; a dash where an arm has none."""

    def text(runs: Runs) -> str:
        try:
            empty = not runs or any(np.size(read(record, value)) == 0 for record in runs)
            return MISSING if empty else format(mean(runs, value), spec)
        except KeyError:
            return MISSING

    return text


def share(value: Value, spec: str = ".0%") -> Column:
    """Return a table's column for a share from 0 to 1, in percent."""
    return number(value, spec)


def count(value: Value) -> Column:
    """Return a table's column for 0s and 1s of all seeds together: "3 of 12"."""

    def text(runs: Runs) -> str:
        try:
            items = np.concatenate([np.atleast_1d(read(record, value)) for record in runs])
        except KeyError:
            return MISSING
        return f"{items.sum():.0f} of {len(items)}"

    return text


def interval(runs: Runs, value: Value) -> Interval:
    """Return the mean over seeds and items with its 95 % interval, for which both are resampled.

    The items are the same in every seed.
    """
    table = np.array([read(record, value) for record in runs], float)
    return paired_bootstrap(np.zeros_like(table), table, seed=0)


def share_interval(value: Value, spec: str = ".0%") -> Column:
    """Return a table's column for a share from 0 to 1 and its interval, in percent: "50% [40%, 60%]"."""

    def text(runs: Runs) -> str:
        try:
            result = interval(runs, value)
        except KeyError:
            return MISSING
        return f"{result.estimate:{spec}} [{result.low:{spec}}, {result.high:{spec}}]"

    return text


def rows(arms: Arms, columns: Mapping[str, Column], first: str = "arm") -> list[dict[str, str]]:
    """Return one row an arm, with a cell for every column."""
    return [{first: arm, **{name: column(runs) for name, column in columns.items()}} for arm, runs in arms.items()]


def at_most(value: Value, limit: float) -> Callable[[Record], list[bool]]:
    """Return what tells which of a record's numbers are no larger than a limit."""
    return lambda record: [number <= limit for number in read(record, value)]


def ranged(value: Value, spec: str = ".0%") -> Column:
    """Return a table's column: the mean over seeds and, in brackets, the range over seeds."""

    def text(runs: Runs) -> str:
        seeds = values(runs, value)
        return f"{seeds.mean():{spec}} ({seeds.min():{spec}}–{seeds.max():{spec}})"

    return text


def by_arm(seeds: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return arm → its records, from one record a seed that holds those of all arms."""
    seeds = list(seeds)
    return {arm: [seed[arm] for seed in seeds] for arm in seeds[0]} if seeds else {}
