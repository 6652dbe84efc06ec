"""Rates, costs, curves and comparisons of a suite's results, against counts made by hand."""

import pytest

from trued.errors import InputError
from trued.language.attack.contract import Behavior, Cost, TestCase, user_turn
from trued.language.attack.result import SuiteResult
from trued.language.judge.reply import Label
from trued.learn.statistics import wilson

Y, N, U = Label.YES, Label.NO, Label.UNKNOWN
ASKS = tuple(Behavior(name, f"say {name}") for name in "abcd")


def result(cells, *, attacks=None, model="m", protocol=None, left_out=None):
    """A result from {attack: {behaviour: labels}}."""
    rows = [(attack, name, label) for attack, own in cells.items() for name, labels in own.items() for label in labels]
    cases = tuple(
        TestCase(name, user_turn("x"), attack=attack, cost=Cost(1, 2, 3, 4.0), meta={"losses": [2.0, 1.0]})
        for attack, name, _ in rows
    )
    return SuiteResult(
        model, {}, protocol or {"judge": "J", "guides": {}}, {}, ASKS, tuple(attacks or cells), cases,
        ("reply",) * len(rows), tuple(label for *_, label in rows), left_out or {},
    )  # fmt: skip


FOUND = result({
    "direct": {"a": [N], "b": [N], "c": [Y], "d": [N]},
    "many": {"a": [N, Y, N], "b": [N, N, N], "c": [Y, N, N], "d": [N, N, Y]},
})  # fmt: skip


def test_rates_and_at_least_one():
    assert [(rate.name, rate.broken) for rate in FOUND.rates] == [("direct", 1), ("many", 3), ("at least one", 3)]
    assert FOUND.broken().tolist() == [True, False, True, True]
    assert FOUND.broken("direct").tolist() == [False, False, True, False]
    low, high = FOUND.rates[1].interval().low, FOUND.rates[1].interval().high
    assert (low, high) == (wilson(3, 4).low, wilson(3, 4).high)
    assert FOUND.broken_by() == {"a": ["many"], "b": [], "c": ["direct", "many"], "d": ["many"]}
    with pytest.raises(InputError, match="no attack 'gcg'"):
        FOUND.broken("gcg")


def test_rate_at_n_counts_the_first_n_cases():
    assert FOUND.rate_at("many", [1, 2, 3, 9]) == [0.25, 0.5, 0.75, 0.75]
    with pytest.raises(InputError, match="no case of 'gcg'"):
        FOUND.rate_at("gcg", [1])


def test_costs_are_a_behaviour():
    direct, many = FOUND.costs
    assert (direct.cases, direct.queries, direct.forwards, direct.backwards, direct.seconds) == (4, 1, 2, 3, 4.0)
    assert (many.cases, many.queries, many.forwards) == (12, 3, 6)


def test_loss_curves():
    assert FOUND.loss_curves("direct") == [[2.0, 1.0]] * 4
    assert FOUND.loss_curves("gcg") == []


def test_a_missing_cell_or_an_unknown_label_makes_a_lower_bound():
    gap = result({"direct": {"a": [N], "b": [N], "c": [Y]}, "many": {name: [Y] for name in "abcd"}})
    assert [rate.lower_bound for rate in gap.rates] == [True, False, False]  # all are broken, whatever is missing
    assert gap.rates[0].missing == 1
    absent = result({"direct": {name: [N] for name in "abcd"}}, attacks=("direct", "gcg"))
    assert [(rate.name, rate.missing, rate.lower_bound) for rate in absent.rates] == [
        ("direct", 0, False), ("gcg", 4, True), ("at least one", 4, True)
    ]  # fmt: skip
    unknown = result({"direct": {"a": [U], "b": [N], "c": [N], "d": [N]}})
    assert unknown.rates[0].lower_bound
    assert unknown.broken().sum() == 0


def test_notes_say_what_is_left_out_and_where_the_judge_could_not_tell():
    shaky = result({"direct": {"a": [U], "b": [U], "c": [N], "d": [N]}}, left_out={"prefill": "no slot"})
    assert "could not tell for 2 of 4" in shaky.notes[0]
    absent = result({"direct": {"a": [N]}}, attacks=("direct", "prefill", "gcg"), left_out={"prefill": "no slot"})
    assert absent.not_measured == ["prefill", "gcg"]
    assert absent.notes[0] == "2 of 3 attacks not measured: prefill (no slot); gcg (it made no case)"


def test_two_models_are_compared_by_mcnemar_on_the_same_behaviours():
    other = result({"direct": {"a": [Y], "b": [Y], "c": [N], "d": [N]}, "new": {name: [N] for name in "abcd"}})
    tests = FOUND.against(other)
    assert set(tests) == {"direct", "at least one"}
    assert (tests["direct"].gained, tests["direct"].lost) == (1, 2)
    assert (tests["at least one"].gained, tests["at least one"].lost) == (2, 1)
    with pytest.raises(InputError, match="under different protocols"):
        FOUND.against(result({"direct": {"a": [N]}}, protocol={"judge": "K", "guides": {}}))


def test_json_has_every_rate():
    data = FOUND.to_json()
    assert [row["attack"] for row in data["attacks"]] == ["direct", "many", "at least one"]
    assert data["attacks"][0]["asr"] == 0.25
    absent = result({"direct": {name: [N] for name in "abcd"}}, attacks=("direct", "gcg")).to_json()["attacks"]
    assert [(row["measured"], row["asr"], row["high"]) for row in absent[1:]] == [(False, None, None), (True, 0, 1)]
    assert data["broken_by"]["d"] == ["many"]


def test_each_variant_has_a_row_of_what_it_broke():
    labels = {("t2", "a"): N, ("t2", "b"): Y, ("t1", "a"): Y, ("t1", "c"): U, ("t1", "d"): Y}
    cases = tuple(
        TestCase(name, user_turn("x"), attack="templates", meta={"variant": variant}) for variant, name in labels
    )
    other = TestCase("c", user_turn("x"), attack="direct")
    result = SuiteResult(
        "m", {}, {"judge": "J", "guides": {}}, {}, ASKS, ("templates", "direct"), (*cases, other),
        ("reply",) * 6, (*labels.values(), Y), {},
    )  # fmt: skip
    assert list(result.by_variant("templates").items()) == [("t2", [0, 1, 0, 0]), ("t1", [1, 0, 0, 1])]
    assert result.by_variant("gcg") == {}
