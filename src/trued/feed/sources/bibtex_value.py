"""The value of a BibTeX field: pieces in braces, in quotes or bare, joined by #.

Knows BibTeX's syntax of values. Knows nothing of entries or of what a field means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_BARE = re.compile(r'[^\s#{}",=()%]+')
_SIGN = re.compile(r"\\.|[{}\"]", re.DOTALL)
_BLANK = re.compile(r"\s*")


class BrokenValueError(ValueError):
    """A value is not one value: mostly, the comma behind it is missing. `at` is the place where it breaks."""

    def __init__(self, at: int) -> None:
        super().__init__(f"broken at {at}")
        self.at = at


def value_of(raw: str, macros: Mapping[str, str]) -> str:
    """Return the text of a value as it stands in a file.

    Args:
        raw: the value, without the comma behind it.
        macros: the texts of @string, by their names in lower case; a name that is not among them stands for itself.

    Raises:
        BrokenValueError: it is no value, or more than one.
    """
    pieces, at = [], _BLANK.match(raw).end()  # type: ignore[union-attr]
    while True:
        piece, at = _piece(raw, at, macros)
        pieces.append(piece)
        at = _BLANK.match(raw, at).end()  # type: ignore[union-attr]
        if at == len(raw):
            return "".join(pieces)
        if raw[at] != "#":
            raise BrokenValueError(at)
        at = _BLANK.match(raw, at + 1).end()  # type: ignore[union-attr]


def _piece(raw: str, at: int, macros: Mapping[str, str]) -> tuple[str, int]:
    if raw[at : at + 1] in ("{", '"'):
        end = _end(raw, at)
        return raw[at + 1 : end], end + 1
    if (match := _BARE.match(raw, at)) is None:
        raise BrokenValueError(at)
    return macros.get(match[0].lower(), match[0]), match.end()


def _end(raw: str, start: int) -> int:
    """Return where the piece that begins at `start` closes; a quote in braces does not close it."""
    quoted, depth = raw[start] == '"', 0
    for match in _SIGN.finditer(raw, start + 1):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}" and depth:
            depth -= 1
        elif depth == 0 and match[0] == ('"' if quoted else "}"):
            return match.start()
    raise BrokenValueError(start)
