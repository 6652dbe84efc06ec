"""A verdict follows from an interval and a margin, in every direction, and from nothing else."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.lab.verdict import Kind, assess, effect_of, verdict
from trued.learn.statistics import Interval
from trued.papers.card import Claim, Margin

RANK = {Kind.CONTRADICTED: 0, Kind.INCONCLUSIVE: 1, Kind.SUPPORTED: 2}
finite = st.floats(-10, 10)


def interval(low, high):
    return Interval((low + high) / 2, low, high, 0.95)


def claim_of(better, margin, ratio=False):
    return Claim("c", "It is.", "m", "ratio" if ratio else "nats", better, Margin(margin, ratio))


@pytest.mark.parametrize(
    ("better", "low", "high", "kind"),
    [
        ("higher", 0.5, 0.9, "supported"),
        ("higher", 0.2, 0.2, "supported"),
        ("higher", 0.1, 0.9, "inconclusive"),
        ("higher", -0.3, 0.2, "inconclusive"),
        ("higher", -0.3, 0.19, "contradicted"),
        ("higher", -0.9, -0.5, "contradicted"),
        ("lower", 0.5, 0.9, "supported"),
        ("lower", -0.9, 0.1, "contradicted"),
        ("equal", -0.1, 0.2, "supported"),
        ("equal", -0.3, 0.1, "inconclusive"),
        ("equal", -0.3, 0.3, "inconclusive"),
        ("equal", 0.21, 0.3, "contradicted"),
        ("equal", -0.3, -0.21, "contradicted"),
    ],
)
def test_the_table_of_verdicts(better, low, high, kind):
    result = verdict(claim_of(better, 0.2), interval(low, high))
    assert result.kind == kind
    assert result.why.endswith(".")
    assert "0.2" in result.why


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(1.9, 3.0, "inconclusive"), (2.0, 3.0, "supported"), (0.5, 1.9, "contradicted")]
)
def test_a_ratio_is_judged_on_its_logarithm(low, high, kind):
    assert verdict(claim_of("lower", 2, ratio=True), interval(math.log(low), math.log(high))).kind == kind


def test_equal_within_a_ratio_holds_either_way():
    claim = claim_of("equal", 1.05, ratio=True)
    assert verdict(claim, interval(-math.log(1.04), math.log(1.04))).kind is Kind.SUPPORTED
    assert verdict(claim, interval(-math.log(1.2), -math.log(1.06))).kind is Kind.CONTRADICTED


@pytest.mark.parametrize("better", ["higher", "lower", "equal"])
def test_a_control_that_passes_takes_the_support_away(better):
    claim = claim_of(better, 0.2)
    good = interval(0.0, 0.1) if better == "equal" else interval(0.3, 0.4)
    bad = interval(0.3, 0.4) if better == "equal" else interval(-0.1, 0.1)
    assert verdict(claim, good, bad).kind is Kind.SUPPORTED
    result = verdict(claim, good, good)
    assert result.kind is Kind.INCONCLUSIVE
    assert "the control passes as well" in result.why
    assert verdict(claim, bad, good).kind is Kind.CONTRADICTED


@given(
    low=finite,
    width=st.floats(0, 5),
    up=st.floats(0, 5),
    margin=st.floats(0.01, 5),
    better=st.sampled_from(["higher", "lower"]),
)
def test_a_larger_effect_never_gets_a_worse_verdict(low, width, up, margin, better):
    claim = claim_of(better, margin)
    before = verdict(claim, interval(low, low + width)).kind
    after = verdict(claim, interval(low + up, low + width + up)).kind
    assert RANK[after] >= RANK[before]


@given(
    low=finite,
    width=st.floats(0, 5),
    margin=st.floats(0.01, 5),
    more=st.floats(0, 5),
    better=st.sampled_from(["higher", "lower", "equal"]),
)
def test_a_wider_margin_is_harder_to_reach_and_easier_to_stay_within(low, width, margin, more, better):
    effect = interval(low, low + width)
    narrow, wide = (RANK[verdict(claim_of(better, m), effect).kind] for m in (margin, margin + more))
    assert wide >= narrow if better == "equal" else wide <= narrow


@given(
    low=finite,
    width=st.floats(0, 5),
    inner=st.floats(0, 1),
    margin=st.floats(0.01, 5),
    better=st.sampled_from(["higher", "equal"]),
)
def test_a_narrower_interval_never_turns_one_verdict_into_its_opposite(low, width, inner, margin, better):
    claim = claim_of(better, margin)
    outer = verdict(claim, interval(low, low + width)).kind
    result = verdict(claim, interval(low, low + width * inner)).kind
    assert outer is Kind.INCONCLUSIVE or result is outer


def test_the_effect_points_where_the_claim_does():
    baseline, method = np.full((3, 5), 2.0), np.full((3, 5), 1.5)
    assert effect_of(claim_of("higher", 0.1), baseline, method).estimate == pytest.approx(-0.5)
    assert effect_of(claim_of("lower", 0.1), baseline, method).estimate == pytest.approx(0.5)
    assert effect_of(claim_of("lower", 2, ratio=True), baseline, method).estimate == pytest.approx(math.log(2 / 1.5))


def test_turning_the_direction_mirrors_the_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 20)), rng.normal(size=(3, 20))
    up, down = effect_of(claim_of("higher", 0.1), a, b), effect_of(claim_of("lower", 0.1), a, b)
    assert (down.low, down.high) == (-up.high, -up.low)
    assert up.low < up.estimate < up.high


def test_a_single_seed_is_inconclusive_however_large_the_effect():
    result = assess(claim_of("higher", 0.1), [[0.0] * 50], [[9.0] * 50])
    assert result.verdict.kind is Kind.INCONCLUSIVE
    assert "single seed" in result.verdict.why


def test_nothing_measured_is_inconclusive():
    result = assess(claim_of("higher", 0.1), [], [])
    assert (result.effect, result.verdict.kind) == (None, Kind.INCONCLUSIVE)


def test_the_reason_names_the_numbers_in_the_units_of_the_claim():
    points = Claim("c", "It refuses.", "share", "points", "lower", Margin(0.1))
    why = verdict(points, Interval(0.49, 0.39, 0.58, 0.95)).why
    assert why == (
        "The method is lower by 49 points (95 % interval 39 to 58); "
        "the whole interval reaches the least effect that counts, 10 points."
    )
    worse = verdict(points, Interval(-0.03, -0.05, 0.01, 0.95)).why
    assert "The method is higher by 3 points (95 % interval of the effect claimed −5 to 1)" in worse
