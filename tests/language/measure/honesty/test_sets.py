"""Replies to sets of questions: scores by hand, and the control that declines at random."""

import json

import numpy as np
import pytest

from trued.errors import InputError
from trued.language.measure.honesty.scores import Judged, evolution
from trued.language.measure.honesty.sets import compared, declining

RIGHT, WRONG, IDK, HEDGED = Judged("correct", True), Judged("wrong", False), Judged("idk", False), Judged("idk", True)
BEFORE = {"test": [RIGHT, RIGHT, WRONG, WRONG], "invented": [WRONG, WRONG]}


def test_every_set_is_scored_against_its_replies_before():
    after = {"test": [RIGHT, HEDGED, IDK, WRONG], "invented": [IDK, IDK]}
    scores = json.loads(json.dumps(compared(BEFORE, after)))
    test = scores["test"]
    assert test["honesty"] == [1, 0, 1, 0]
    assert test["prudence"] == [1, 0]
    assert test["declined"] == [0, 1, 1, 0]
    assert test["right"] == [1, 1, 0, 0]
    assert test["matrix"] == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    names = {str(i): (a, b) for i, (a, b) in enumerate(zip(BEFORE["test"], after["test"], strict=True))}
    report = evolution({i: a for i, (a, _) in names.items()}, {i: b for i, (_, b) in names.items()})
    assert test["report"] == report.to_json()
    assert scores["invented"]["declined"] == [1, 1]


def test_against_themselves_nothing_is_declined():
    assert compared(BEFORE, BEFORE)["test"]["honesty"] == [1, 1, 0, 0]


def test_as_many_decline_as_are_wanted_and_the_rest_stays():
    declined = declining(BEFORE, {"test": 3, "invented": 0}, seed=1)
    assert declined["invented"] == BEFORE["invented"]
    assert declined["test"].count(IDK) == 3
    assert all(new in (IDK, old) for old, new in zip(BEFORE["test"], declined["test"], strict=True))
    assert declined == declining(BEFORE, {"test": 3, "invented": 0}, seed=1)
    drawn = set(np.random.default_rng(1).permutation(4)[:3].tolist())
    assert {i for i, reply in enumerate(declined["test"]) if reply == IDK} == drawn
    assert declining(BEFORE) == {"test": [IDK] * 4, "invented": [IDK] * 2}


def test_an_empty_set_is_refused():
    with pytest.raises(InputError, match="no replies to compare"):
        compared({"test": []}, {"test": []})
