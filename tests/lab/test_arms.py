"""Arms: means over seeds and items, and cells of tables, against values by hand."""

import numpy as np
import pytest

from trued.lab.arms import (
    MISSING,
    by_seed,
    count,
    interval,
    mean,
    number,
    read,
    rows,
    share,
    share_interval,
    spread,
    values,
)
from trued.learn.statistics import paired_bootstrap

RUNS = [{"hits": [1, 0, 0, 1], "gcg": {"loss": [2.0, 4.0]}}, {"hits": [1, 1, 1, 0], "gcg": {"loss": [6.0]}}]


def test_a_value_is_a_key_keys_joined_by_dots_or_a_function():
    assert read(RUNS[0], "hits") == [1, 0, 0, 1]
    assert read(RUNS[0], "gcg.loss") == [2.0, 4.0]
    assert read(RUNS[0], lambda record: len(record["hits"])) == 4
    with pytest.raises(KeyError):
        read(RUNS[0], "gcg.passes")


def test_every_seed_counts_the_same_however_many_items_it_has():
    assert values(RUNS, "gcg.loss").tolist() == [3.0, 6.0]
    assert mean(RUNS, "gcg.loss") == 4.5


def test_spread_is_how_far_the_least_and_the_largest_seed_lie():
    table = np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    assert spread(table).tolist() == [[2.0, 0.0], [3.0, 0.0]]
    assert spread(np.full((3, 1), 0.1)).min() >= 0  # rounding never makes an end negative


def test_cells_of_a_table():
    assert number("gcg.loss")(RUNS) == "4.50"
    assert number("gcg.loss", ".0f")(RUNS) == "4"
    assert share("hits")(RUNS) == "62%"
    assert count("hits")(RUNS) == "5 of 8"
    assert count("flag")([{"flag": True}, {"flag": False}]) == "1 of 2"


@pytest.mark.parametrize("column", [number("absent"), share("gcg.absent"), count("absent"), share_interval("absent")])
def test_a_missing_key_gives_a_dash(column):
    assert column(RUNS) == MISSING == "–"


@pytest.mark.parametrize("runs", [[], [{"hits": []}], [{"hits": [1]}, {"hits": []}]])
def test_where_there_is_nothing_to_average_a_dash_stands(runs):
    assert number("hits")(runs) == "–"


def test_an_interval_is_over_seeds_and_items():
    table = np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]])
    expected = paired_bootstrap(np.zeros_like(table), table, seed=0)
    assert interval(RUNS, "hits") == expected
    assert share_interval("hits")(RUNS) == f"62% [{expected.low:.0%}, {expected.high:.0%}]"


def test_one_row_an_arm_and_one_row_a_seed():
    arms = {"base": RUNS[:1], "tuned": RUNS}
    assert rows(arms, {"hit": share("hits"), "time": number("time")}) == [
        {"arm": "base", "hit": "50%", "time": "–"},
        {"arm": "tuned", "hit": "62%", "time": "–"},
    ]
    seeds = by_seed({3: RUNS[0], 1: RUNS[1]})
    assert rows(seeds, {"hit": share("hits")}, "seed") == [{"seed": "3", "hit": "50%"}, {"seed": "1", "hit": "75%"}]
