"""Evenly spaced items: how many, which, and that every group of a sorted list keeps its share."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trued
from trued.data.spacing import evenly_spaced, evenly_spaced_places


@pytest.mark.parametrize(
    ("limit", "items"),
    [(None, "abcdefg"), (9, "abcdefg"), (7, "abcdefg"), (3, "ace"), (2, "ad"), (1, "a"), (0, "")],
)
def test_items_are_taken_in_equal_steps_from_the_first_on(limit, items):
    assert "".join(evenly_spaced("abcdefg", limit)) == items


@given(st.integers(0, 200), st.integers(0, 200))
def test_places_differ_and_their_gaps_differ_by_one_at_most(count, limit):
    places = evenly_spaced_places(count, limit)
    assert len(places) == len(set(places)) == min(count, limit)
    assert places == sorted(places)
    gaps = {after - before for before, after in zip(places, [*places[1:], count], strict=False)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_groups_keep_their_share():
    assert evenly_spaced(["a"] * 50 + ["b"] * 30 + ["c"] * 20, 10) == ["a"] * 5 + ["b"] * 3 + ["c"] * 2


def test_the_rule_is_written_once():
    root = Path(trued.__file__).parent
    rule = re.compile(r"\w+ \* len\([\w.]+\) // \w+")
    assert [path.name for path in root.rglob("*.py") if rule.search(path.read_text("utf-8"))] == []
