"""Invented questions: the same for the same seed, each name once, and none that exists."""

import pytest

from trued.data.facts import check_questions, place_names
from trued.errors import InputError
from trued.language.measure.honesty.invented import prior_unknown_qa


def test_names_are_drawn_once_in_turn_and_have_no_answer():
    rows = prior_unknown_qa(400, seed=3)
    check_questions(rows)
    assert [row.relation for row in rows[:4]] == ["invented-paper", "invented-town"] * 2
    assert not any(row.answers for row in rows)
    assert rows == prior_unknown_qa(400, seed=3)
    assert {row.question for row in rows} != {row.question for row in prior_unknown_qa(400, seed=4)}


def test_no_place_of_that_name_exists():
    towns = {row.entity.lower() for row in prior_unknown_qa(300, seed=0, kinds=["town"], taken=place_names())}
    assert not towns & place_names()
    taken = prior_unknown_qa(20, seed=1, kinds=["town"])
    again = prior_unknown_qa(20, seed=1, kinds=["town"], taken={row.entity.lower() for row in taken})
    assert not {row.entity for row in taken} & {row.entity for row in again}


@pytest.mark.parametrize(("n", "kinds", "match"), [
    (0, ["town"], "n is 0"), (5, [], "kinds are"), (5, ["river"], "unknown kind 'river'"),
    (10_000, ["town"], "at most 540 names"),
])  # fmt: skip
def test_bad_input(n, kinds, match):
    with pytest.raises(InputError, match=match):
        prior_unknown_qa(n, seed=0, kinds=kinds)
