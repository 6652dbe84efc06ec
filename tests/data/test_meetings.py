"""The record task: right by construction, and a test that training never shows."""

import json
import re
from datetime import date

import pytest

from trued.data.meetings import record_rows
from trued.errors import InputError

SPLITS = ("train", "validation", "test")


def test_a_record_says_what_its_note_says():
    for row in record_rows("train", 200):
        record = json.loads(row.reply)
        assert list(record) == ["date", "from", "city"]
        day, note = date.fromisoformat(record["date"]), row.prompt.rpartition("\n")[2]
        assert record["city"] in note
        assert re.fullmatch("[A-Z]{2}", record["from"])
        assert str(day.year) in note
        numbers = [int(n) for n in re.findall(r"\d+", note)]
        assert day.day in numbers
        assert f"{day:%B}" in note or day.month in numbers


def test_the_splits_share_no_city_and_the_test_has_wordings_of_its_own():
    rows = {split: record_rows(split, 300) for split in SPLITS}
    cities = {split: {json.loads(row.reply)["city"] for row in rows[split]} for split in SPLITS}
    assert not cities["train"] & cities["test"]
    assert not cities["train"] & cities["validation"]
    assert not cities["validation"] & cities["test"]
    assert not any("minister" in row.prompt for row in rows["train"])


def test_seeds_decide():
    assert record_rows("train", 5, seed=1) == record_rows("train", 5, seed=1) != record_rows("train", 5, seed=2)
    assert record_rows("train", 9)[:5] == record_rows("train", 5)


def test_bad_asks_are_named():
    with pytest.raises(InputError, match=r"unknown split 'tests'.*did you mean test"):
        record_rows("tests", 1)
    with pytest.raises(InputError, match="count is 0"):
        record_rows("test", 0)
