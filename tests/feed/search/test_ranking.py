"""Fusing keeps its bounds and its closed form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.search.ranking import fuse


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
