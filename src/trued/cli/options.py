"""Options that several commands share, so that they are spelled and explained the same everywhere.

A model is named first or by --model, in every command that takes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token, convert

from trued.errors import InputError


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


def whole_numbers(kind: Any, tokens: Sequence[Token]) -> Any:
    """Read several whole numbers, or one with words that stand for another; cyclopts itself would round 2.7 to 3.

    Raises:
        ValueError: one is a number that is not whole.
    """
    for token in tokens:
        try:
            float(token.value)
        except ValueError:
            continue  # a word, or an error that cyclopts words
        whole_number(kind, [token])
    return convert(kind, tokens)


WholeNumber = Annotated[int, Parameter(converter=whole_number)]

Switch = Annotated[bool, Parameter(negative="", show_default=False)]
JsonSwitch = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON for machines.")
]  # fmt: skip
Model = Annotated[
    str | None,
    Parameter(
        help="A local folder, a hub id, or the folder of a PEFT adapter; the embedded SmolLM2-135M-Instruct otherwise."
    ),
]
"""The model of a command, as its first parameter: positional, or --model."""

Models = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        show_default=False,
        help="Local folders, hub ids or adapters' folders, set side by side; the embedded model otherwise.",
    ),
]
"""One or several models: positional, or --model once for each."""


def columns_of(text: str | None) -> dict[str, str]:
    """Return what `--columns prompt=Goal,chosen=Best` says: the name in the data of each column that a command reads.

    Raises:
        InputError: not names with an equals sign, joined by commas, or a column that is named twice.
    """
    columns: dict[str, str] = {}
    for part in (text or "").split(","):
        column, equals, name = (word.strip() for word in part.partition("="))
        if not part.strip():
            continue
        if not (column and equals and name):
            raise InputError(f"--columns {text!r} is not understood at {part!r}: write prompt=Goal,chosen=Best")
        if column in columns:
            raise InputError(f"--columns names {column} twice: {columns[column]} and {name}; keep one of them")
        columns[column] = name
    return columns
