"""Raw rows out of files, saved `datasets` folders and the hub, with the number by which each is found again.

| file | what is read |
|---|---|
| `.jsonl`, `.json` | one JSON object a line, or one array of objects |
| `.csv` | a header and rows (RFC 4180); a quoted cell may contain line breaks; every cell is a text |
| `.parquet` | the columns that are needed |
| any of the first two with `.gz`, or gzipped under its plain name | the same, unpacked |

Text is UTF-8, or UTF-16 with its mark. Knows files. Knows nothing of which columns a row must have.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from trued.errors import InputError, MissingExtra
from trued.texts import decoded, encoding_of, read_json, unpacked

_LINES, _TABLE, _PARQUET = (".jsonl", ".json"), (".csv",), (".parquet",)
_GZIP = b"\x1f\x8b"
_LARGEST = 4 << 30  # bytes of an unpacked file
_LARGEST_CELL = 1 << 30  # characters; the csv module's own limit is 131,072
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_EXPECTED = "expected .jsonl (one JSON object a line), .json, .csv or .parquet"


def raw_rows(source: str | Path, columns: tuple[str, ...], split: str | None) -> Iterator[tuple[int, object]]:
    """Yield the rows of a source, unchecked, each with its number or, in JSONL and CSV, its line.

    Args:
        source: see `trued.data.rows.read_rows`.
        columns: the columns to read, where a format permits to read some of them only.
        split: of a `datasets` folder or hub id.

    Raises:
        InputError: no such source, an unknown suffix, or a file that is not of its format.
        MissingExtra: the source needs pyarrow or datasets, and it is not installed.
    """
    path = Path(source)
    if path.is_dir():
        return _saved_dataset(path, columns, split)
    suffix = _suffix(path)
    if path.is_file():
        if not os.access(path, os.R_OK):
            raise InputError(f"{path} may not be read by you; change its permissions")
        if suffix not in (*_LINES, *_TABLE, *_PARQUET):
            raise InputError(f"{path.name}: unknown suffix {suffix!r}; {_EXPECTED}")
        if split is not None:
            raise InputError(f"{path.name} is one file and has no split {split!r}; leave the split out")
        if suffix in _PARQUET:
            return _parquet(path, columns)
        return _json(path) if suffix in _LINES else _csv(path)
    if isinstance(source, Path) or suffix in (*_LINES, *_TABLE, *_PARQUET) or not _HUB_ID.fullmatch(source):
        raise InputError(f"{source}: no such file or folder; {_EXPECTED}, a folder or a hub id")
    return _hub(source, columns, split)


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json(path: Path) -> Iterator[tuple[int, object]]:
    """Yield the objects of JSON Lines or of one array, whichever the file holds."""
    with path.open("rb") as file:
        head = file.read(256)
        plain = encoding_of(head) == "utf-8-sig" and not head.startswith(_GZIP)
        if plain and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            file.seek(0)
            yield from _json_lines(path.name, file)
            return
    text = _text(path)
    lines = list(enumerate(text.split("\n"), 1))
    first = next((line for _, line in lines if line.strip()), "")
    if not first.lstrip().startswith("[") or (len(lines) > 1 and _is_json(first) and not _is_json(text)):
        for number, line in lines:
            if line.strip():
                yield number, _value(path.name, number, line)
        return
    try:
        values = read_json(text)
    except InputError as error:
        raise InputError(f"{path.name}: {error}; expected one object on each line, or one array of objects") from None
    yield from enumerate(values, 1)


def _json_lines(name: str, file: io.BufferedReader) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{name}, row {number}: not UTF-8; save the file as UTF-8") from None
        if text.strip():
            yield number, _value(name, number, text)


def _value(name: str, number: int, line: str) -> object:
    try:
        return read_json(line)
    except InputError as error:
        expected = "; expected one object on each line" if str(error).startswith("not valid JSON") else ""
        raise InputError(f"{name}, row {number}: {error}{expected}") from None


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except InputError as error:
        return not str(error).startswith("not valid JSON")
    return True


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return decoded(unpacked(data, _LARGEST) if data.startswith(_GZIP) else data)
    except InputError as error:
        raise InputError(f"{path.name} is {error}") from None


# -- tables ------------------------------------------------------------------------------------------------------------


def csv_reader(text: str) -> Any:
    """Return a strict `csv.reader` of a text, whose cells may be as long as a document."""
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    return csv.reader(io.StringIO(text, newline=""), strict=True)


def _csv(path: Path) -> Iterator[tuple[int, object]]:
    rows = csv_reader(_text(path))
    line = 1
    try:
        names = [name.strip() for name in next(rows, [])]
        if twice := next((name for name in names if name and names.count(name) > 1), None):
            raise InputError(f"{path.name}: two columns are called {twice!r}; name each column once")
        line = rows.line_num + 1
        for cells in rows:
            if cells:
                if len(cells) != len(names):
                    raise InputError(
                        f"{path.name}, row {line}: {len(cells)} cells, and the header names {len(names)} columns; put "
                        "cells with commas or line breaks between double quotes"
                    )
                yield line, {name: cell or None for name, cell in zip(names, cells, strict=True)}
            line = rows.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path.name}, row {line}: no CSV ({error}); close every quoted cell, and double the quotes in it"
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
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not a readable Parquet file: {error}") from None


# -- datasets ----------------------------------------------------------------------------------------------------------


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


def _with_names(row: Mapping[str, Any], present: Collection[str]) -> dict[str, Any]:
    """The row with every column's name, so that an error can list them, though only the needed ones were read."""
    return dict.fromkeys(present) | dict(row)
