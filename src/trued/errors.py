"""Errors that a user can fix: one sentence, the remedy in it, exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class InputError(ValueError):
    """Bad use or bad input, found before the long work starts.

    The message is one clear sentence that names the value, what was expected and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


EXTRAS = dict.fromkeys(
    (
        "PIL", "accelerate", "gguf", "huggingface_hub", "peft", "safetensors", "tokenizers", "torch", "transformers",
    ),
    "models",
)  # fmt: skip
"""Which extra brings a module that is imported where it is used."""


class MissingExtra(InputError):  # noqa: N818 - reads as a sentence: raise MissingExtra(...)
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: {install_command(extra)}")


def missing_extra(error: BaseException) -> MissingExtra | None:
    """Return the error that names the extra, if `error` is the failed import of a module that one brings."""
    package = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package in EXTRAS:
        return MissingExtra(package, EXTRAS[package])
    return None


def install_command(extra: str) -> str:
    """Return the command that installs an extra: of the package, or of the clone that this code runs from."""
    clone = Path(__file__).resolve().parents[2]
    if (clone / "pyproject.toml").is_file() and Path(__file__).resolve().parents[1].name == "src":
        return f"pip install -e '.[{extra}]' in {clone}"
    return f"pip install 'trued[{extra}]'"


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """Return ``"; did you mean a, b?"`` for the known names nearest to `name`, or ``""``."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(known), n=n, cutoff=0.4)
    return f"; did you mean {', '.join(matches)}?" if matches else ""
