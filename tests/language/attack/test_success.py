"""Success rates against their definitions, and what becomes of labels that are not known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.attack.contract import Behavior, TestCase
from trued.language.attack.success import attack_success, broken_by_tries
from trued.language.judge.reply import Label
from trued.learn.statistics import wilson

YES, NO, UNKNOWN = Label.YES, Label.NO, Label.UNKNOWN


def table(rows, behaviors=None):
    """Success of (behaviour, attack, label) rows."""
    cases = [TestCase(behavior, [], attack=attack) for behavior, attack, _ in rows]
    return attack_success(cases, ["text"] * len(rows), [label for *_, label in rows], behaviors=behaviors)


def test_any_case_breaks_a_behavior_and_unknown_outweighs_no():
    result = table(
        [("a", "t", NO), ("a", "t", YES), ("a", "t", UNKNOWN), ("b", "t", NO), ("b", "t", UNKNOWN), ("c", "t", NO)]
    )
    (rate,) = result.attacks
    assert {name: row["t"] for name, row in result.cells.items()} == {"a": YES, "b": UNKNOWN, "c": NO}
    assert (rate.broken, rate.unknown, rate.held, rate.missing) == (1, 1, 1, 0)
    assert rate.lower_bound
    assert rate.rate == pytest.approx(1 / 3)


def test_what_is_not_known_widens_the_interval_upwards():
    rows = [(str(i), "t", YES if i < 2 else UNKNOWN if i < 5 else NO) for i in range(10)]
    (rate,) = table(rows).attacks
    assert rate.interval().low == wilson(2, 10).low
    assert rate.interval().high == wilson(5, 10).high
    sure = [(name, attack, NO if label is UNKNOWN else label) for name, attack, label in rows]
    assert table(sure).attacks[0].interval() == wilson(2, 10)
    assert not table(sure).attacks[0].lower_bound


def test_a_missing_cell_is_reported_and_makes_alo_a_lower_bound():
    result = table([("a", "s", NO), ("a", "t", YES), ("b", "s", NO)], behaviors=[Behavior(i, i) for i in "abc"])
    first, second = result.attacks
    assert (first.broken, first.held, first.missing) == (0, 2, 1)
    assert (second.broken, second.held, second.missing) == (1, 0, 2)
    assert (result.alo.broken, result.alo.held, result.alo.missing) == (1, 0, 2)
    assert result.alo.lower_bound
    assert result.cells["c"] == {"s": None, "t": None}
    assert result.broken_by("a") == ["t"]


def test_an_attack_without_a_case_is_not_measured():
    cases = [TestCase("a", [], attack="s")]
    result = attack_success(cases, ["text"], [NO], attacks=["s", "t"])
    assert [(rate.name, rate.measured, rate.missing) for rate in result.attacks] == [("s", True, 0), ("t", False, 1)]
    assert result.alo.measured
    assert result.alo.lower_bound
    assert (result.alo.bounds().least, result.alo.bounds().most) == (0, 1)


LABELS = st.sampled_from([YES, NO, UNKNOWN])


@given(st.lists(st.tuples(LABELS, LABELS, LABELS), min_size=1, max_size=12))
def test_alo_lies_between_the_best_attack_and_the_sum_and_grows_with_attacks(outcomes):
    rows = [(str(b), f"attack-{a}", label) for b, row in enumerate(outcomes) for a, label in enumerate(row)]
    result = table(rows)
    rates = [rate.rate for rate in result.attacks]
    assert max(rates) <= result.alo.rate <= min(1, sum(rates)) + 1e-12
    assert result.alo.rate == sum(YES in row for row in outcomes) / len(outcomes)
    assert table([row for row in rows if row[1] != "attack-2"]).alo.rate <= result.alo.rate
    assert result.alo.held == sum(set(row) == {NO} for row in outcomes)
    assert result.alo.lower_bound == any(UNKNOWN in row and YES not in row for row in outcomes)


def test_bad_input():
    with pytest.raises(InputError, match="1 cases, 0 replies and 1 labels"):
        attack_success([TestCase("a", [])], [], [YES])
    with pytest.raises(InputError, match="no test cases"):
        attack_success([], [], [])
    with pytest.raises(InputError, match=r"not in the list, e\.g\. 'z'"):
        table([("z", "t", YES)], behaviors=[Behavior("a", "a")])


def test_more_tries_break_more():
    tries = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]])
    assert broken_by_tries(tries, orders=0).tolist() == [0.25, 0.5, 0.75]
    every = [np.maximum.accumulate(tries[list(order)]).mean(1) for order in itertools.permutations(range(3))]
    assert broken_by_tries(tries, orders=2000) == pytest.approx(np.mean(every, axis=0), abs=0.02)
    assert broken_by_tries(tries)[-1] == 0.75
