"""nDCG, reciprocal rank and recall have their closed forms and their bounds."""

import importlib.util
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

PATH = Path(__file__).parents[2] / "benchmarks" / "ranking_quality.py"
_SPEC = importlib.util.spec_from_file_location("ranking_quality", PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
ndcg, recall, reciprocal_rank = _MODULE.ndcg, _MODULE.recall, _MODULE.reciprocal_rank


def test_ndcg_by_hand():
    grades = {"a": 3, "b": 1}
    best = 7 + 1 / math.log2(3)
    assert ndcg(["a", "b"], grades) == pytest.approx(1)
    assert ndcg(["x", "b", "a"], grades) == pytest.approx((1 / math.log2(3) + 7 / 2) / best)
    assert ndcg(["x", "a"], grades, k=1) == 0
    with pytest.raises(ValueError, match="judge at least one"):
        ndcg(["a"], {"a": 0})


def test_reciprocal_rank_and_recall_by_hand():
    assert reciprocal_rank(["x", "a", "b"], {"a", "b"}) == 0.5
    assert reciprocal_rank(["x"], {"a"}) == 0
    assert recall(["x", "a", "b"], {"a", "b", "c", "d"}, 2) == 0.25


@given(st.permutations(range(8)), st.lists(st.integers(0, 3), min_size=8, max_size=8).filter(any))
def test_the_ideal_order_is_best(ranking, grades):
    graded = dict(enumerate(grades))
    ideal = sorted(graded, key=lambda item: -graded[item])
    assert 0 <= ndcg(ranking, graded) <= ndcg(ideal, graded) + 1e-12
    assert ndcg(ideal, graded) == pytest.approx(1)
