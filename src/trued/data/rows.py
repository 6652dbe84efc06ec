"""Rows of training and prompt data from JSONL, Parquet, a saved `datasets` folder or the hub, checked before any work.

Knows files, columns and kinds of values. Knows nothing of what the rows are for. A bad row is named by its source, its
number (counted from one; in JSONL, the line) and its column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from trued.data.messages import Message
from trued.errors import InputError, MissingExtra, nearest

ColumnKind = Literal["text", "texts", "chat", "text or chat"]
Row = dict[str, Any]
T = TypeVar("T")

ROLES = ("system", "user", "assistant", "tool")
_FILES = (".jsonl", ".parquet")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
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
        source: a `.jsonl` or `.parquet` file, a folder written by `datasets`' `save_to_disk`, or a hub id.
        columns: each column's kind: "text" (not empty), "texts" (a list of texts), "chat" (a list of messages with
            'role' and 'content', as in TRL) or "text or chat".
        optional: those of `columns` that a row may lack or leave null.
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
    for number, raw in _raw_rows(source, tuple(names.get(column, column) for column in columns), split):
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
        if value is None and column in optional:
            continue
        if column not in raw:
            raise InputError(f"no column '{column}', only {_listed(raw) or 'none at all'}; {needs}.")
        try:
            row[column] = _value(value, kind)
        except InputError as error:
            raise InputError(f"'{column}' {error}; {needs}.") from None
    return row


def _value(value: object, kind: ColumnKind) -> object:
    """Return `value` if it is of its kind; the InputError otherwise reads on from the column's name."""
    if isinstance(value, str):
        if not value.strip():
            raise InputError("is empty")
        if kind in ("text", "text or chat"):
            return value
    if isinstance(value, list):
        if kind != "text" and not value:
            raise InputError("is an empty list")
        if kind in ("chat", "text or chat"):
            return [_message(message, number) for number, message in enumerate(value, 1)]
        if kind == "texts":
            for number, text in enumerate(value, 1):
                if not isinstance(text, str):
                    raise InputError(f"has {_described(text)} as item {number}, expected a text")
                if not text.strip():
                    raise InputError(f"has an empty text as item {number}")
            return value
    expected = {"text": "a text", "texts": "a list of texts", "chat": "a list of messages"}
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
    return {"role": role, "content": content}


def _raw_rows(source: str | Path, columns: tuple[str, ...], split: str | None) -> Iterator[tuple[int, object]]:
    path = Path(source)
    if path.is_dir():
        return _saved_dataset(path, columns, split)
    if path.is_file():
        if path.suffix not in _FILES:
            raise InputError(
                f"{path.name}: unknown suffix {path.suffix!r}; expected .jsonl (one JSON object a line) or .parquet"
            )
        if split is not None:
            raise InputError(f"{path.name} is one file and has no split {split!r}; leave the split out")
        return _jsonl(path) if path.suffix == ".jsonl" else _parquet(path, columns)
    if isinstance(source, Path) or path.suffix in (*_FILES, ".json", ".csv") or not _HUB_ID.fullmatch(source):
        raise InputError(f"{source}: no such file or folder; expected a .jsonl or .parquet file, a folder or a hub id")
    return _hub(source, columns, split)


def _jsonl(path: Path) -> Iterator[tuple[int, object]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, json.loads(text)
            except UnicodeDecodeError:
                raise InputError(f"{path.name}, row {number}: not UTF-8; save the file as UTF-8") from None
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{path.name}, row {number}: not valid JSON ({error.msg} at character {error.colno}); "
                    "expected one object on each line"
                ) from None


def _parquet(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, object]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("pyarrow", "datasets") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
        present = file.schema_arrow.names
        number = 0
        for batch in file.iter_batches(columns=[c for c in columns if c in present]):
            for row in batch.to_pylist():
                number += 1
                yield number, _with_names(row, present)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path.name} is not a readable Parquet file: {error}") from None


def _saved_dataset(path: Path, columns: tuple[str, ...], split: str | None) -> Iterator[tuple[int, object]]:
    if not any((path / marker).is_file() for marker in ("state.json", "dataset_dict.json")):
        raise InputError(
            f"{path}: not a folder that datasets' save_to_disk wrote; name a .jsonl or .parquet file in it"
        )
    datasets = _datasets()
    return _dataset_rows(datasets.load_from_disk(str(path)), path.name, columns, split)


def _hub(source: str, columns: tuple[str, ...], split: str | None) -> Iterator[tuple[int, object]]:
    datasets = _datasets()
    try:
        loaded = datasets.load_dataset(source)
    except Exception as error:  # the hub's client raises many kinds: offline, gated, absent, configuration needed
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{source}: no such file or folder, and loading it from the hub failed ({reason[0]}); check the name"
        ) from None
    return _dataset_rows(loaded, source, columns, split)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "datasets") from None
    return datasets


def _dataset_rows(loaded: Any, name: str, columns: tuple[str, ...], split: str | None) -> Iterator[tuple[int, object]]:
    if isinstance(loaded, dict):
        split_name = split or (next(iter(loaded)) if len(loaded) == 1 else "train")
        if split_name not in loaded:
            raise InputError(f"{name} has no split {split_name!r}; choose one of {', '.join(map(str, loaded))}")
        loaded = loaded[split_name]
    elif split is not None and str(loaded.split) != split:
        raise InputError(f"{name} has no split {split!r}; leave the split out")
    present = list(loaded.column_names)
    narrow = loaded.select_columns([c for c in columns if c in present])
    # With no column left, `datasets` forgets how many rows there are; one row is enough to report it.
    rows = narrow if narrow.column_names else [{}] * min(1, len(loaded))
    return ((number, _with_names(row, present)) for number, row in enumerate(rows, 1))


def _with_names(row: Row, present: Collection[str]) -> Row:
    """The row with every column's name, so that an error can list them, though only the needed ones were read."""
    return dict.fromkeys(present) | row


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
