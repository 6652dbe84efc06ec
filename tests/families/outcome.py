"""What a check says: ok, refused in a sentence, wrong by so much, a crash, or no reference to compare with."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TOLERANCE = 1e-4
Kind = Literal["ok", "refused", "WRONG", "CRASH", "no reference"]
FAULTS = ("WRONG", "CRASH")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check on one family.

    Args:
        kind: what it says.
        words: the sentence of a refusal, the error of a crash, what is wrong, or why there is no reference.
        difference: the largest difference to the reference, where numbers were compared.
    """

    kind: Kind
    words: str = ""
    difference: float | None = None

    def __str__(self) -> str:
        size = "" if self.difference is None else f"{self.difference:.1e}"
        return ": ".join(part for part in (self.kind, size, self.words) if part)


class NoReference(Exception):  # noqa: N818 - an outcome, not an error
    """Plain transformers or PEFT does not do on this family what the check compares with."""


class Different(Exception):  # noqa: N818
    """The result is of another kind than the reference's, such as another text."""


def outcome_of(check: Callable[[], float]) -> Outcome:
    """Run a check, which returns the largest difference that it saw, and say what came of it."""
    from trued.errors import InputError

    try:
        difference = check()
    except InputError as error:
        return Outcome("refused", _line(error))
    except NoReference as error:
        return Outcome("no reference", str(error))
    except Different as error:
        return Outcome("WRONG", str(error))
    except Exception as error:
        return Outcome("CRASH", f"{type(error).__name__}: {_line(error)} ({_place(error)})")
    return Outcome("ok" if difference <= TOLERANCE else "WRONG", difference=difference)  # NaN is wrong


def worst(*differences: float) -> float:
    """The largest difference; NaN if one of them is."""
    return math.nan if any(math.isnan(x) for x in differences) else max(differences)


def _line(error: BaseException, longest: int = 400) -> str:
    return " ".join(str(error).split())[:longest]


def _place(error: BaseException) -> str:
    """The last line of trued's that the error passed through, else the last line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/trued/" in frame.filename] or frames
    path = Path(own[-1].filename)
    return f"{path.parent.name}/{path.name}:{own[-1].lineno}"
