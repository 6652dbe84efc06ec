"""The matrix on disk gives what a plain product gives, grows by what is new, and survives crashes and other writers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from trued.errors import InputError
from trued.feed.search.embeddings import Embeddings, best

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
ROWS = [(uid, 1, f"text {uid} {word}") for uid, word in enumerate(WORDS, start=3)]


@pytest.fixture
def vectors(tmp_path, embedder):
    kept = Embeddings(tmp_path / "v", embedder)
    kept.extend(ROWS)
    return kept


def brute(embedder, text, rows, k):
    scores = {uid: float(embedder.one(text) @ embedder.one(body)) for uid, _, body in rows}
    return sorted(scores, key=lambda uid: (-scores[uid], -uid))[:k]


def numbers(near):
    return [uid for uid, _ in near]


def test_the_nearest_are_those_of_a_plain_scan(vectors, embedder):
    for text in ("beta", "text gamma", "zeta"):
        assert numbers(vectors.top(text, 3)) == brute(embedder, text, ROWS, 3)
    uid, cosine = vectors.top("text 4 beta", 1)[0]
    assert (uid, cosine) == (4, pytest.approx(1, abs=1e-6))
    assert numbers(vectors.near(4, "unused", 1)) == [4]
    assert numbers(vectors.top("beta", 5, np.array([3, 6]))) == brute(embedder, "beta", [ROWS[0], ROWS[3]], 5)


def test_a_product_takes_one_thread_and_gives_the_others_back(vectors):
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    seen = []

    class Watched(np.ndarray):
        def __matmul__(self, other):
            seen.append(threads())
            return np.asarray(self) @ other

    matrix = vectors._matrix()
    matrix.vectors = np.asarray(matrix.vectors).view(Watched)
    query = np.ones(matrix.vectors.shape[1], np.float32)
    with threadpool_limits(2, "blas"):
        alone = matrix.top(query, 2, None)
        assert threads() == {2}
        with ThreadPoolExecutor(4) as pool:  # as a server's requests are
            assert list(pool.map(lambda _: matrix.top(query, 2, None), range(40))) == [alone] * 40
        assert threads() == {2}
    assert seen[0] == {1}


def test_a_changed_text_replaces_the_old_one(vectors, embedder):
    vectors.extend([(4, 2, "omega omega")])
    assert vectors.position() == (2, 4)
    assert vectors.stamps() == {3: 1, 4: 2, 5: 1, 6: 1, 7: 1}
    rows = [ROWS[0], (4, 2, "omega omega"), *ROWS[2:]]
    assert numbers(vectors.top("text 4 beta", 5)) == brute(embedder, "text 4 beta", rows, 5)


def test_it_is_read_again_from_disk_and_seen_by_others(vectors, embedder, tmp_path):
    other = Embeddings(tmp_path / "v", embedder)
    assert numbers(other.top("beta", 1)) == [4]
    vectors.extend([(9, 2, "zeta")])
    assert numbers(other.top("zeta", 1)) == [9]
    calls = len(embedder.texts)
    other.extend([(9, 2, "zeta"), (10, 2, "eta")])  # the first was added by the other one
    assert len(other.stamps()) == 7
    assert len(embedder.texts) == calls + 2
    assert vectors.position() == (2, 10)


def test_vectors_without_a_row_are_overwritten(vectors, embedder, tmp_path):
    path = tmp_path / "v" / "vectors.f32"
    path.write_bytes(path.read_bytes() + b"\x01" * 700)  # a crash while a batch was written
    again = Embeddings(tmp_path / "v", embedder)
    assert len(again.stamps()) == 5
    again.extend([(9, 2, "zeta")])
    assert again.top("zeta", 1)[0] == (9, pytest.approx(1, abs=1e-6))
    assert path.stat().st_size == 6 * 4 * embedder.dim


def test_another_embedder_begins_anew(vectors, embedder, tmp_path):
    other = Embeddings(tmp_path / "v", type(embedder)(seed=5))
    assert other.position() == (-1, -1)
    assert other.top("beta", 3) == []
    narrower = Embeddings(tmp_path / "v", type(embedder)(dim=32))
    narrower.extend(ROWS[:1])
    assert numbers(narrower.top("alpha", 1)) == [3]


@pytest.mark.parametrize(
    ("embed", "sentence"),
    [
        (lambda texts: np.ones((len(texts) + 1, 4)) / 2, "expected one row for each"),
        (lambda texts: np.full((len(texts), 4), 3.0), "vector of length 6; expected unit length"),
        (lambda texts: np.full((len(texts), 4), np.nan), "expected unit length"),
    ],
)
def test_a_wrong_vector_is_named_at_once(tmp_path, embed, sentence):
    with pytest.raises(InputError, match=sentence):
        Embeddings(tmp_path / "v", embed).position()


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 10), st.sets(st.integers(0, 30)))
def test_best_sorts_with_ties_by_number_and_keeps_to_what_is_allowed(values, k, allowed):
    uids, scores = np.arange(len(values)), np.array(values, np.float32)
    order = sorted((uid for uid in uids.tolist() if uid in allowed), key=lambda uid: (-values[uid], -uid))
    assert numbers(best(uids, scores, k, np.array(sorted(allowed), np.int64))) == order[:k]
    everything = sorted(uids.tolist(), key=lambda uid: (-values[uid], -uid))
    assert numbers(best(uids, scores, k, None)) == everything[:k]
