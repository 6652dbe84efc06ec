"""Rows in files as people have them: every right kind is read, everything else is one sentence with its line."""

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.data.rows import read_rows
from trued.errors import InputError

COLUMNS = {"prompt": "text"}
TWO = [{"prompt": "a\u2028b"}, {"prompt": "ü"}]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in TWO)
ARRAY = json.dumps(TWO, indent=1, ensure_ascii=False)
TABLE = "prompt\na\u2028b\nü\n"


def read(folder, name, data, columns=COLUMNS, **options):
    path = Path(folder) / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_rows(path, columns=columns, **options)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES),
        ("a.json", LINES),
        ("a.jsonl", LINES.replace("\n", "\r\n") + "\r\n\r\n"),
        ("a.jsonl", "\ufeff" + LINES),
        ("a.jsonl", LINES.encode("utf-16")),
        ("a.jsonl", ARRAY),
        ("a.json", ARRAY),
        ("a.json", json.dumps(TWO)),
        ("a.json", ("\ufeff" + ARRAY)),
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("a.jsonl", gzip.compress(LINES.encode(), mtime=0)),
        ("A.JSONL", LINES),
        ("a.csv", TABLE),
        ("a.csv", "\ufeff" + TABLE.replace("\n", "\r\n")),
        ("a.csv", TABLE.encode("utf-16")),
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name, data):
    assert read(tmp_path, name, data) == TWO


def test_csv_with_line_breaks_long_cells_and_empty_ones(tmp_path):
    long = "x" * 300_000
    table = f'id,prompt,target\n1,"a ""b""\nc, d",\n2,{long},t\n\n'
    columns = {"prompt": "text", "id": "name", "target": "text"}
    rows = read(tmp_path, "a.csv", table, columns, optional=("target",))
    assert rows == [{"prompt": 'a "b"\nc, d', "id": "1"}, {"prompt": long, "id": "2", "target": "t"}]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": "b \\ud83d"}', r"row 2: no whole text: \\ud83d is half"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": "b", "n": ' + "[" * 9999 + "}", "row 2: nested more than 100"),
        ("a.jsonl", '{"prompt": "a", "n": ' + "9" * 5000 + "}", "row 1: has a number of 5,000 digits"),
        ("a.jsonl", '{"prompt": "a", "prompt": "b"}', "row 1: has the key 'prompt' twice"),
        ("a.jsonl", '{"prompt": NaN}', "row 1: 'prompt' is NaN"),
        ("a.jsonl", '{"prompt": -Infinity}', "row 1: 'prompt' is a number"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": "W\xe4lz"}', "row 2: not UTF-8"),
        ("a.jsonl", '[{"prompt": "a"},\n{"prompt" "b"}]', "not valid JSON .* line 2.*; expected one object on each"),
        ("a.jsonl", '[1]\n{"prompt": "a"}', "row 1: expected an object"),
        ("a.jsonl", LINES.encode("utf-16")[:-1], "no text in UTF-16"),
        ("a.jsonl", LINES.encode("utf-16-le"), "row 1: not valid JSON"),
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:-12], "damaged gzip"),
        ("a.csv", 'prompt\n"a\nb', "row 2: no CSV .*; close every quoted cell"),
        ("a.csv", "prompt,id\na,1\nb, c,2\n", "row 3: 3 cells, and the header names 2 columns"),
        ("a.csv", 'id,prompt\n1,"a\nb"\n2,\n', "row 4: 'prompt' is null"),
        ("a.csv", "prompt,prompt\na,b\n", "two columns are called 'prompt'"),
        ("a.csv", "", "has no rows"),
        ("a.parquet", b"PAR1 and no more", "not a readable Parquet file"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, name, data, says):
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, name, data)
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("nothing", [None, "", " ", float("nan")])
def test_what_tables_write_for_nothing_is_nothing_in_an_optional_column(tmp_path, nothing):
    data = json.dumps({"prompt": "a", "target": nothing})
    assert read(tmp_path, "a.jsonl", data, COLUMNS | {"target": "text"}, optional=["target"]) == [{"prompt": "a"}]


_LINE = st.sampled_from(
    [b'{"prompt": "a"}', b'{"prompt": ', b"\n", b"[", b"]", b",", b'"', b"\\ud83d", b"\xff\xfe", b"\r"]
)


@given(
    st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.parquet"]),
    st.binary(max_size=80) | st.lists(_LINE, max_size=8).map(b"".join),
    st.booleans(),
)
def test_any_bytes_give_rows_or_an_input_error(name, data, packed):
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = read(folder, name, gzip.compress(data, mtime=0) if packed else data)
        except InputError:
            return
    assert all(row["prompt"].strip() and row["prompt"].encode() for row in rows)
