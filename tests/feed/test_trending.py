"""Trending is the sum that is documented, whatever the moment."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.trending import EPOCH, heat, trending

START = datetime(2025, 12, 1, tzinfo=UTC)
HISTORY = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 500), st.integers(0, 50)), min_size=1, max_size=8,
    unique_by=lambda row: row[0],
).map(lambda rows: [(START + timedelta(minutes=minutes), up, said) for minutes, up, said in sorted(rows)])  # fmt: skip


def brute(snapshots, now):
    """The documented sum, term by term."""
    score = upvotes = comments = 0.0
    for at, up, said in snapshots:
        new = max(up - upvotes, 0) + 0.5 * max(said - comments, 0)
        score += new * math.exp(-((now - at).total_seconds() / 3600) / 36)
        upvotes, comments = max(upvotes, up), max(comments, said)
    return score


@given(HISTORY, st.integers(0, 30 * 24))
def test_trending_is_the_documented_sum(snapshots, hours):
    now = snapshots[-1][0] + timedelta(hours=hours)
    assert trending(heat(snapshots), now) == pytest.approx(brute(snapshots, now), rel=1e-9, abs=1e-12)


@given(HISTORY, HISTORY, st.integers(0, 24 * 14))
def test_heat_orders_papers_as_trending_does_at_any_moment(one, other, hours):
    now = max(one[-1][0], other[-1][0]) + timedelta(hours=hours)
    hot, cold = heat(one), heat(other)
    if hot is None or cold is None or abs(hot - cold) < 1e-6:
        return
    assert (hot > cold) == (trending(hot, now) > trending(cold, now))


def test_a_vote_fades_to_a_third_in_36_hours_and_a_comment_counts_half():
    at = EPOCH + timedelta(days=2000)
    assert trending(heat([(at, 1, 0)]), at) == pytest.approx(1)
    assert trending(heat([(at, 0, 1)]), at) == pytest.approx(0.5)
    assert trending(heat([(at, 1, 0)]), at + timedelta(hours=36)) == pytest.approx(math.exp(-1))
    assert heat([(at, 0, 0)]) is None
    assert trending(None, at) == 0


def test_a_vote_taken_back_and_given_again_is_no_news():
    at = [START + timedelta(hours=h) for h in range(3)]
    assert heat([(at[0], 5, 0), (at[1], 4, 0), (at[2], 5, 0)]) == pytest.approx(heat([(at[0], 5, 0)]))
