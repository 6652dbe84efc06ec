"""Columns of ranges, intervals and thresholds."""

from __future__ import annotations

from trued.lab.arms import at_most, by_arm, count, number, ranged, share, share_interval
from trued.learn.statistics import paired_bootstrap

RUNS = [
    {"km": [1, 5, 9, 4], "share": 0.2, "deep": {"km": [3]}},
    {"km": [2, 8, 7, 6], "share": 0.4, "deep": {"km": [6]}},
]


def test_numbers_up_to_a_limit_are_told_and_the_limit_is_one_of_them():
    assert at_most("km", 5)(RUNS[0]) == [True, True, False, True]
    assert at_most("deep.km", 5)(RUNS[1]) == [False]
    assert share(at_most("km", 5))(RUNS) == "50%"
    assert count(at_most("km", 5))(RUNS) == "4 of 8"


def test_a_range_is_over_seeds():
    assert ranged("share", ".1%")(RUNS) == "30.0% (20.0%–40.0%)"
    assert ranged("km", ".2f")(RUNS) == "5.25 (4.75–5.75)"
    assert number("km")(RUNS) == "5.25"


def test_an_interval_is_over_seeds_and_items():
    table = [[1, 1, 0, 1], [1, 0, 0, 0]]
    expected = paired_bootstrap([[0] * 4] * 2, table, seed=0)
    assert share_interval(at_most("km", 5), ".1%")(RUNS) == f"50.0% [{expected.low:.1%}, {expected.high:.1%}]"


def test_records_of_seeds_are_turned_into_those_of_arms():
    seeds = [{"base": 1, "method": 2}, {"base": 3, "method": 4}]
    assert by_arm(iter(seeds)) == {"base": [1, 3], "method": [2, 4]}
    assert by_arm([]) == {}
