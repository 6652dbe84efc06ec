"""TF-IDF vectors are those of scikit-learn's own, whether papers come at once or bit by bit."""

import numpy as np
import pytest

from trued.feed.search.query import FUNCTION_WORDS, words
from trued.feed.search.terms import Terms

TEXTS = [
    "attacks on models and more attacks", "models of cars", "cars, cars and roads", "", "the of and", "roads to models",
]  # fmt: skip
ROWS = [(uid, 1, text) for uid, text in enumerate(TEXTS, start=1)]


def plain(texts, asked):
    """Cosines by scikit-learn's TfidfVectorizer, which counts every word under its own name."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        sublinear_tf=True,
        analyzer=lambda text: [word for word in words(text) if word not in FUNCTION_WORDS and len(word) > 1],
    )
    matrix = vectorizer.fit_transform(texts)
    return (matrix @ vectorizer.transform([asked]).T).toarray().ravel()


@pytest.mark.parametrize("asked", ["attacks on cars", "models", "roads roads models", "unknown", ""])
def test_cosines_are_those_of_a_plain_scan(tmp_path, asked):
    terms = Terms(tmp_path / "t")
    terms.extend(ROWS[:2])
    terms.extend(ROWS[2:])
    expected = plain(TEXTS, asked)
    found = dict(terms.top(asked, 10))
    if asked == "unknown":
        assert found == {}
    for uid, cosine in found.items():
        assert cosine == pytest.approx(expected[uid - 1], abs=1e-6)
    assert set(found) == {uid for uid, cosine in enumerate(expected, start=1) if cosine > 0}


def test_bit_by_bit_is_at_once(tmp_path):
    one, other = Terms(tmp_path / "one"), Terms(tmp_path / "other")
    one.extend(ROWS)
    for row in ROWS:
        other.extend([row])
        other.extend([row])  # twice is once
    assert one.position() == other.position() == (1, 6)
    uids = [uid for uid, _, _ in ROWS]
    np.testing.assert_allclose(one.matrix_of(uids).toarray(), other.matrix_of(uids).toarray(), atol=1e-7)
    assert Terms(tmp_path / "one").top("cars", 3) == other.top("cars", 3)


def test_a_changed_text_replaces_the_old_one(tmp_path):
    terms = Terms(tmp_path / "t")
    terms.extend(ROWS)
    terms.extend([(2, 2, "zeppelins")])
    assert [uid for uid, _ in terms.top("zeppelins", 5)] == [2]
    assert 2 not in [uid for uid, _ in terms.top("cars", 5)]
    assert terms.stamps()[2] == 2
    assert [uid for uid, _ in terms.top("models", 5, np.array([6]))] == [6]
