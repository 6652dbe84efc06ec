"""Numbers read the same wherever they stand, with three digits and a true minus sign."""

import math

import pytest

from trued.lab import wording
from trued.lab.wording import change, duration, levels, memory, numbers, paper_levels, percent, rate
from trued.learn.statistics import Interval
from trued.papers.card import PaperFigures


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([71.34, 22.1], ["71.3", "22.1"]),
        ([85.0, 5.0], ["85", "5"]),
        ([9.1, 9.42], ["9.10", "9.42"]),
        ([0.5, -0.03], ["0.500", "−0.030"]),
        ([-0.0001, 12.0], ["0", "12"]),
        ([1234.5, 10.0], ["1,234", "10"]),
        ([0.0], ["0"]),
        ([1.2e-7], ["1.20e−07"]),
    ],
)
def test_numbers_that_are_read_together_have_the_same_decimals(values, texts):
    assert numbers(values) == texts


def test_a_rate_that_may_be_higher_says_so():
    assert rate(15 / 24, 0.4271, 0.9076, lower_bound=True) == "≥ 62 % [43, 91]"
    assert rate(1.0, 0.757, 1.0) == "100 % [76, 100]"
    assert percent(0.5) == "50 %"


def interval(low, high):
    return Interval((low + high) / 2, low, high, 0.95)


def test_a_change_is_method_minus_baseline_whatever_is_claimed(claim):
    assert change(claim("lower", unit="points"), interval(0.39, 0.58)) == "[−58, −39 points]"
    assert change(claim("higher", unit="points"), interval(0.39, 0.58)) == "[+39, +58 points]"
    assert change(claim("higher"), interval(-0.5, 0.25)) == "[−0.500, +0.250 nats]"


def test_a_ratio_near_one_is_a_percentage_and_a_large_one_a_factor(claim):
    ratio = claim("equal", 1.05, ratio=True)
    assert change(ratio, interval(math.log(1.02), math.log(1.05))) == "[+2, +5 %]"
    assert change(claim("lower", 2, ratio=True), interval(math.log(4), math.log(8))) == "[÷8, ÷4]"


def test_levels_are_shares_in_percent_or_the_metric_itself(claim):
    assert levels(claim(unit="points"), 0.71, 0.22) == "71 → 22 %"
    assert levels(claim(), 1.52, 0.53) == "1.52 → 0.53 nats"
    assert levels(claim(ratio=True, margin=2), 12.0, 3.0) == "12 → 3"


def test_the_papers_figures_may_be_missing_in_part():
    assert paper_levels(PaperFigures()) == paper_levels(None) == "–"
    assert paper_levels(PaperFigures(85.0, 5.0, "% GCG", "Table 1")) == "85 → 5 % GCG"
    assert paper_levels(PaperFigures(method=-570.0, unit="ms")) == "−570 ms"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (48, "48 s"), (480, "8 min"), (4800, "1 h 20 min"), (3599, "1 h 0 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_memory():
    assert (memory(0), memory(300 * 2**20), memory(3 * 2**30)) == ("–", "300 MiB", "3.0 GiB")


@pytest.mark.parametrize(("count", "words"), [(4_912_345, "4.9M parameters"), (12_345, "12,345 parameters")])
def test_parameters_are_never_none_of_a_million(count, words):
    assert wording.parameters(count) == words
