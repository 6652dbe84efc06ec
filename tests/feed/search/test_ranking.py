"""Fusing keeps its bounds and its closed form; trending is the sum that is documented, whatever the moment."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.search.ranking import EPOCH, fuse, heat, trending

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


def test_fusing_is_half_of_each_share():
    words = [(1, 8.0), (2, 4.0)]
    meaning = [(2, 0.9), (3, 0.5), (1, 0.1)]
    assert fuse(words, meaning) == pytest.approx({1: 0.5, 2: 0.25 + 0.5, 3: 0.25})


def test_one_ranking_alone_keeps_its_order_and_fills_the_scale():
    assert fuse([(5, 3.0), (6, 1.5)], []) == pytest.approx({5: 1, 6: 0.5})
    assert fuse([], [(5, 0.4), (6, 0.2)]) == pytest.approx({5: 1, 6: 0})
    assert fuse([], []) == {}
    assert fuse([(1, 2.0)], [(1, 0.3)]) == {1: 1.0}


RANKING = st.dictionaries(st.integers(0, 20), st.floats(0.01, 50), max_size=12).map(
    lambda scores: sorted(scores.items(), key=lambda one: -one[1])
)


@given(RANKING, RANKING)
def test_fused_scores_lie_between_0_and_1_and_never_favour_what_both_rank_lower(words, meaning):
    fused = fuse(words, meaning)
    assert set(fused) == {item for item, _ in (*words, *meaning)}
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in fused.values())
    by_words, by_meaning = dict(words), dict(meaning)
    for a in fused:
        for b in fused:
            if by_words.get(a, 0) > by_words.get(b, 0) and by_meaning.get(a, 0) > by_meaning.get(b, 0):
                assert fused[a] >= fused[b] - 1e-9
