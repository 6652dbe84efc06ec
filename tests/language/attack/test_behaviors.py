"""Behaviours from files and from the shipped requests."""

import json

import pytest

from trued.data.prompts import prompts
from trued.errors import InputError
from trued.language.attack.behaviors import read_behaviors, shipped_behaviors
from trued.language.attack.contract import Behavior


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_columns_are_read_and_rows_are_named(tmp_path):
    rows = [{"prompt": "x"}, {"prompt": "y", "id": "why", "target": "Sure", "context": "A page.", "category": "c"}]
    assert read_behaviors(write(tmp_path / "b.jsonl", rows)) == [
        Behavior("row-1", "x"), Behavior("why", "y", target="Sure", context="A page.", category="c")
    ]  # fmt: skip


def test_numbers_as_ids_and_empty_optional_texts(tmp_path):
    row = {"prompt": "x", "id": 7, "target": " ", "context": "", "category": 3}
    assert read_behaviors(write(tmp_path / "b.jsonl", [row])) == [Behavior("7", "x", category="3")]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"prompt": ""}], "row 1: 'prompt' is empty"),
        ([{"text": "x"}], "no column 'prompt'"),
        ([{"prompt": "x", "target": 3}], "'target' is a number"),
        ([{"prompt": "x", "id": True}], "'id' is a truth value .* expected a text or a whole number"),
        ([{"prompt": "x", "id": "1"}, {"prompt": "y", "id": 1}], "two behaviours have the id '1'"),
        ([{"prompt": "x", "id": "a"}, {"prompt": "y", "id": "a"}], "two behaviours have the id 'a'"),
    ],
)
def test_bad_rows(tmp_path, rows, says):
    with pytest.raises(InputError, match=says):
        read_behaviors(write(tmp_path / "b.jsonl", rows))


def test_the_shipped_ones_are_spread_over_the_categories():
    assert [b.text for b in shipped_behaviors()] == [row.prompt for row in prompts("harmful", "test")]
    few = shipped_behaviors("validation", 13)
    assert len({b.category for b in few}) == 13
    with pytest.raises(InputError, match="limit is 0"):
        shipped_behaviors(limit=0)
