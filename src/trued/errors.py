"""Errors that a user can mend: one sentence, the remedy in it, exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad use or bad input, found before the long work starts.

    The message is one clear sentence that names the value, what was expected and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


class MissingExtra(InputError):  # noqa: N818 - reads as a sentence: raise MissingExtra(...)
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'trued[{extra}]'")


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """Return ``"; did you mean a, b?"`` for the known names nearest to `name`, or ``""``."""
    matches = get_close_matches(name, list(known), n=n, cutoff=0.4)
    return f"; did you mean {', '.join(matches)}?" if matches else ""
