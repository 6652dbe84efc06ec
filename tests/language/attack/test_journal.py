"""The journal: what is written is on disk, a torn last line is forgotten, and two protocols never meet."""

import json

import pytest

from trued.errors import InputError
from trued.language.attack.journal import Journal


def test_rows_come_back_in_order(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    book = Journal(path, {"seed": 0})
    book.append([{"kind": "a", "n": 1}, {"kind": "b", "n": 2, "text": "ü\n"}])
    again = Journal(path, {"seed": 0})
    assert again.rows == book.rows
    assert again.of("b") == [{"kind": "b", "n": 2, "text": "ü\n"}]
    assert again.of("a", n=2) == []
    assert [json.loads(line)["kind"] for line in path.read_text("utf-8").splitlines()] == ["protocol", "a", "b"]


def test_without_a_file_it_is_kept_in_memory():
    book = Journal(None, {})
    book.append([{"kind": "a"}])
    assert book.of("a") == [{"kind": "a"}]


@pytest.mark.parametrize("cut", range(1, 15))
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    Journal(path, {}).append([{"kind": "a", "n": 1}])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    book = Journal(path, {})
    assert book.of("a") == []
    book.append([{"kind": "a", "n": 1}])
    assert path.read_bytes() == whole


def test_a_file_torn_in_its_first_line_starts_anew(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"kind": "prot')
    assert [row["kind"] for row in Journal(path, {"seed": 1}).rows] == ["protocol"]
    assert Journal(path, {"seed": 1}).rows[0]["protocol"] == {"seed": 1}


@pytest.mark.parametrize(("old", "new"), [({"seed": 0}, {"seed": 1}), ({}, {"judge": "x"}), ({"judge": "x"}, {})])
def test_another_protocol_is_refused_with_what_differs(tmp_path, old, new):
    path = tmp_path / "results.jsonl"
    Journal(path, old)
    before = path.read_bytes()
    key = next(iter({**old, **new}))
    with pytest.raises(InputError, match=f"another protocol: {key} was .* and is now .*; give another output file"):
        Journal(path, new)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["[1]\n", '{"kind": "a"}\n', "hello\n", '{"kind": "protocol", "protocol": {}}\nx\n'])
def test_a_file_that_is_no_journal_is_refused(tmp_path, text):
    path = tmp_path / "notes.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"notes\.jsonl, line \d: not a row of results"):
        Journal(path, {})
    assert path.read_text() == text
