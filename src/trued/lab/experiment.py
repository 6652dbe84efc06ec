"""`@experiment`: a function `(lab: Lab) -> None` with its slug, its scales and its seeds; and how to find one by name.

Knows that the experiment on a paper lives in `trued.experiments.<slug>`, a module or a package, and is loaded by that
name alone.
Knows nothing of what an experiment does: `trued.experiments` is never imported by name in this package's text.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from trued.errors import InputError, nearest
from trued.lab.lab import Lab

__all__ = ["Experiment", "Lab", "experiment", "known_experiments", "load_experiment"]

_ROOM = "trued.experiments"


@dataclass(frozen=True)
class Experiment:
    """An experiment: call it with a `Lab`.

    Attributes:
        slug: the paper's name.
        function: the measurements, in the order in which they are made.
        scales: name → a dataclass instance with the sizes at that scale.
        seeds: the seeds that it runs when none are given.
    """

    slug: str
    function: Callable[[Lab], None]
    scales: Mapping[str, Any]
    seeds: tuple[int, ...]

    def __call__(self, lab: Lab) -> None:
        self.function(lab)

    @property
    def module(self) -> str:
        """The module that the experiment is written in."""
        return self.function.__module__

    def scale(self, name: str) -> Any:
        """Return the sizes at the scale `name`.

        Raises:
            InputError: the experiment has no such scale.
        """
        if name not in self.scales:
            raise InputError(
                f"{self.slug} has no scale '{name}'; choose from {', '.join(self.scales)}{nearest(name, self.scales)}"
            )
        return self.scales[name]


def experiment(
    slug: str, *, scales: Mapping[str, Any], seeds: Sequence[int] = (0, 1, 2)
) -> Callable[[Callable[[Lab], None]], Experiment]:
    """Make the decorated function the experiment on the paper `slug`.

    Args:
        slug: the paper's name, as its card has it.
        scales: name → dataclass instance; by custom "tiny" (seconds, for tests), "desktop" and "full".
        seeds: three at least, where the verdict is to be more than inconclusive.

    Raises:
        ValueError: no scale, a scale that is no dataclass instance, no seed, or a seed twice.
    """
    if not scales:
        raise ValueError(f"{slug}: no scales; give at least one, such as scales={{'desktop': Scale(...)}}")
    for name, scale in scales.items():
        if not is_dataclass(scale) or isinstance(scale, type):
            raise ValueError(f"{slug}: scale '{name}' is {scale!r}; expected an instance of a dataclass")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"{slug}: seeds are {tuple(seeds)}; expected different integers, at least one")
    return lambda function: Experiment(slug, function, dict(scales), tuple(seeds))


def known_experiments() -> list[str]:
    """Return the slugs of all experiments, modules and packages, without importing any of them."""
    spec = importlib.util.find_spec(_ROOM)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    names = {path.stem for folder in folders for path in folder.glob("[a-z]*.py")}
    names |= {path.parent.name for folder in folders for path in folder.glob("[a-z]*/__init__.py")}
    return sorted(name.replace("_", "-") for name in names)


def module_of(slug: str) -> str:
    """Return the dotted name of the module in which the experiment on the paper `slug` is written."""
    return f"{_ROOM}.{slug.replace('-', '_')}"


def load_experiment(slug: str) -> Experiment:
    """Import and return the experiment on the paper `slug`.

    Raises:
        InputError: there is none; the message has the nearest names.
    """
    known = known_experiments()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", slug) or slug not in known:
        hint = nearest(slug, known) or "; `trued papers list` shows which papers run"
        raise InputError(f"there is no experiment '{slug}'{hint}")
    module = importlib.import_module(module_of(slug))
    for value in vars(module).values():
        if isinstance(value, Experiment) and value.slug == slug:
            return value
    raise InputError(
        f"{module.__name__} defines no experiment '{slug}': decorate a function with @experiment('{slug}')"
    )
