"""Rows of training and prompt data from files, a saved `datasets` folder or the hub, checked before any work.

Knows columns and kinds of values. Knows nothing of what the rows are for. A bad row is named by its source, its number
(counted from one; in JSONL and CSV, the line) and its column.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from trued.data.messages import Message
from trued.data.row_files import raw_rows
from trued.errors import InputError, nearest
from trued.texts import has_half

ColumnKind = Literal["text", "texts", "chat", "text or chat", "name"]
Row = dict[str, Any]
T = TypeVar("T")

ROLES = ("system", "user", "assistant", "tool")
_MANY = {"texts": " (a list)", "chat": " (a list of messages)"}


def read_rows(
    source: str | Path,
    *,
    columns: Mapping[str, ColumnKind],
    optional: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    split: str | None = None,
) -> list[Row]:
    """Read and check the named columns of a data source; other columns are ignored.

    Args:
        source: a `.jsonl`, `.json`, `.csv` or `.parquet` file, also gzipped, a folder written by `datasets`'
            `save_to_disk`, or a hub id.
        columns: each column's kind: "text" (not empty), "texts" (a list of texts), "chat" (a list of messages with
            'role' and 'content', as in TRL), "text or chat" or "name" (a text or a whole number, read as a text).
        optional: those of `columns` that a row may lack or leave null, NaN or an empty text.
        names: what a column is called in the source, where that is another name.
        split: which split of a `datasets` folder or hub id; needed only if there are several and none is "train".

    Returns: one dictionary a row, with the named columns only and messages reduced to role and content.

    Raises:
        InputError: no such source, unknown suffix, no rows, a broken line, a missing column, or a value that is empty,
            null, NaN or of another type.
        MissingExtra: the source needs pyarrow or datasets, and it is not installed.
    """
    return read_as(dict, source, columns=columns, optional=optional, names=names, split=split)


def read_as(
    make: Callable[[Row], T],
    source: str | Path,
    *,
    columns: Mapping[str, ColumnKind],
    optional: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    split: str | None = None,
) -> list[T]:
    """Read rows as `read_rows` does, and turn each into what `make` returns.

    An InputError that `make` raises gets the source's name and the row's number in front.
    """
    names = names or {}
    for column in names:
        if column not in columns:
            raise InputError(f"there is no column {column!r} to name{nearest(column, columns)}; {_needs(columns, ())}")
    made = []
    name = _name(source)
    for number, raw in raw_rows(source, tuple(names.get(column, column) for column in columns), split):
        try:
            made.append(make(_checked(_renamed(raw, names), columns, optional)))
        except InputError as error:
            raise InputError(f"{name}, row {number}: {error}") from None
    if not made:
        raise InputError(f"{name} has no rows; {_needs(columns, optional)}.")
    return made


def _renamed(raw: object, names: Mapping[str, str]) -> object:
    """Return a row with its columns under the names that are read, too."""
    if not names or not isinstance(raw, Mapping):
        return raw
    for column, name in names.items():
        if name not in raw:
            raise InputError(f"no column '{name}' for '{column}', only {_listed(raw) or 'none at all'}")
    return dict(raw) | {column: raw[name] for column, name in names.items()}


def _checked(raw: object, columns: Mapping[str, ColumnKind], optional: Collection[str]) -> Row:
    needs = _needs(columns, optional)
    if not isinstance(raw, Mapping):
        raise InputError(f"expected an object with named columns, found {_described(raw)}; {needs}.")
    row = {}
    for column, kind in columns.items():
        value = raw.get(column)
        if column in optional and _is_nothing(value):
            continue
        if column not in raw:
            raise InputError(f"no column '{column}', only {_listed(raw) or 'none at all'}; {needs}.")
        try:
            row[column] = _value(value, kind)
        except InputError as error:
            raise InputError(f"'{column}' {error}; {needs}.") from None
    return row


def _is_nothing(value: object) -> bool:
    """True for what tables write where there is no value: null, NaN and an empty text."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _value(value: object, kind: ColumnKind) -> object:
    """Return `value` if it is of its kind; the InputError otherwise reads on from the column's name."""
    if kind == "name" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        if not value.strip():
            raise InputError("is empty")
        if kind in ("text", "text or chat", "name"):
            return _whole(value)
    if isinstance(value, list):
        if kind not in ("text", "name") and not value:
            raise InputError("is an empty list")
        if kind in ("chat", "text or chat"):
            return [_message(message, number) for number, message in enumerate(value, 1)]
        if kind == "texts":
            for number, text in enumerate(value, 1):
                if not isinstance(text, str):
                    raise InputError(f"has {_described(text)} as item {number}, expected a text")
                if not text.strip():
                    raise InputError(f"has an empty text as item {number}")
                _whole(text)
            return value
    expected = {
        "text": "a text", "texts": "a list of texts", "chat": "a list of messages", "name": "a text or a whole number",
    }  # fmt: skip
    raise InputError(f"is {_described(value)}, expected {expected.get(kind, 'a text or a list of messages')}")


def _message(message: object, number: int) -> Message:
    if not isinstance(message, Mapping):
        raise InputError(f"has {_described(message)} as message {number}, expected 'role' and 'content'")
    role, content = message.get("role"), message.get("content")
    if role is None or content is None:
        raise InputError(f"has a message {number} with {_listed(message) or 'nothing'}, expected 'role' and 'content'")
    if role not in ROLES:
        raise InputError(f"has the role {role!r} in message {number}, expected one of {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise InputError(f"has {_described(content)} as content of message {number}, expected a text")
    if not content.strip():
        raise InputError(f"has an empty message {number}")
    return {"role": role, "content": _whole(content)}


def _whole(text: str) -> str:
    if has_half(text):
        raise InputError("contains half of a character (half of an emoji, for example); write it whole")
    return text


def _needs(columns: Mapping[str, ColumnKind], optional: Collection[str]) -> str:
    names = [f"'{name}'{_MANY.get(kind, '')}" for name, kind in columns.items() if name not in optional]
    return f"each row needs {_joined(names)}" if names else f"each row may have {_joined([f'{c!r}' for c in columns])}"


def _listed(row: Mapping[Any, Any]) -> str:
    return _joined([f"'{name}'" for name in row])


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _described(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and value != value:
        return "NaN"
    kind = {str: "a text", bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return f"{kind.get(type(value), f'a {type(value).__name__}')} ({str(value)[:40]!r})"


def _name(source: str | Path) -> str:
    return Path(source).name if Path(source).exists() else str(source)
