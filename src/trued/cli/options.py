"""Options that several commands share, so that they are spelled and explained the same everywhere.

Knows names and help texts. Knows nothing of what a command does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def whole_number(_type: Any, tokens: Sequence[Token]) -> int:
    """Read a whole number; cyclopts itself would round 2.7 to 3.

    Raises:
        ValueError: it is none.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


WholeNumber = Annotated[int, Parameter(converter=whole_number)]

Switch = Annotated[bool, Parameter(negative="", show_default=False)]
JsonSwitch = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON for machines.")
]  # fmt: skip
