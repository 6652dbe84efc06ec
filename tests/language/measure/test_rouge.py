"""ROUGE-L against the textbook recursion, and duplicates against comparing every pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.measure.rouge import common_subsequence, first_of_each, rouge_l

texts = st.lists(st.sampled_from("abcd"), max_size=12)


def recursion(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(texts, texts)
def test_common_subsequence(a, b):
    assert common_subsequence(a, b) == recursion(a, b)


@given(st.lists(texts.map(" ".join), max_size=8), st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_first_of_each_compares_every_pair(several, threshold):
    unlike = []
    for i, text in enumerate(several):
        if all(rouge_l(text, several[j]) <= threshold for j in unlike):
            unlike.append(i)
    assert first_of_each(several, threshold=threshold) == unlike


def test_rouge_is_the_f_measure():
    assert rouge_l("Which planet is the largest?", "which planet is largest") == pytest.approx(2 * 4 / 9)
    assert rouge_l("", "a") == 0
    with pytest.raises(InputError, match="threshold is 2"):
        first_of_each(["a"], threshold=2)
