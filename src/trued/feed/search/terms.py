"""TF-IDF vectors of all papers, for a store without an embedder, and for learning what a tag means.

Knows texts, numbers of papers and the files. Knows nothing of databases. Words are hashed (Weinberger et al., 2009,
arXiv 0902.2206), so new papers are added without a look at the old ones; what each word weighs is worked out anew from
all of them when the vectors are read. Similarity is the cosine.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from trued.feed.search.embeddings import Near, Row, best
from trued.feed.search.query import FUNCTION_WORDS, words
from trued.files import write_bytes

FEATURES = 1 << 18
BATCH = 2_000  # texts at once


class Terms:
    """The words of a store's papers.

    Args:
        folder: where the segments lie, one for each call of `extend`; made if it is not there.
    """

    name = "TF-IDF"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: _Weighed | None = None

    def position(self) -> tuple[int, int]:
        """Return (stamp, number) of the paper that came in last; (-1, -1) if none has."""
        rows = self._weighed().rows
        return (int(rows[-1, 1]), int(rows[-1, 0])) if len(rows) else (-1, -1)

    def stamps(self) -> dict[int, int]:
        """Return number → stamp of all papers that have come in."""
        weighed = self._weighed()
        return dict(zip(weighed.uids.tolist(), weighed.rows[weighed.alive, 1].tolist(), strict=True))

    def extend(self, rows: Sequence[Row]) -> None:
        """Add papers, in the order of (stamp, number), all of them after `position`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            at = self.position()
            fresh = [row for row in rows if (row[1], row[0]) > at]
            if not fresh:
                return
            counts = _counts([text for _, _, text in fresh])
            held = io.BytesIO()
            np.savez(
                held, data=counts.data.astype(np.float32), indices=counts.indices, indptr=counts.indptr,
                rows=np.array([row[:2] for row in fresh], dtype=np.int64),
            )  # fmt: skip
            number = len(_segments(self.folder))
            write_bytes(self.folder / f"{number:06d}.npz", held.getvalue())
        self._loaded = None

    def top(self, text: str, k: int, allowed: np.ndarray | None = None) -> Near:
        """Return the k papers nearest to a text that share a word with it, among those allowed (None: all)."""
        return self._weighed().top(_counts([text]), k, allowed)

    def near(self, uid: int, text: str, k: int, allowed: np.ndarray | None = None) -> Near:
        """Return the k papers nearest to a paper whose text is `text`."""
        return self.top(text, k, allowed)

    def matrix_of(self, uids: Sequence[int]) -> Any:
        """Return the weighed, unit-length vectors of papers as a sparse matrix [papers, features]."""
        return self._weighed().rows_of(uids)

    def _weighed(self) -> _Weighed:
        segments = _segments(self.folder)
        if self._loaded is None or self._loaded.segments != len(segments):
            self._loaded = _Weighed(segments)
        return self._loaded


class _Weighed:
    """All segments as one matrix: rows of unit length, (1 + log tf) · idf."""

    def __init__(self, segments: list[Path]) -> None:
        from scipy import sparse

        self.segments = len(segments)
        parts, rows = [sparse.csr_matrix((0, FEATURES), dtype=np.float32)], [np.zeros((0, 2), np.int64)]
        for path in segments:
            with np.load(path, allow_pickle=False) as held:
                numbers = held["rows"]
                shape = (len(numbers), FEATURES)
                parts.append(sparse.csr_matrix((held["data"], held["indices"], held["indptr"]), shape=shape))
                rows.append(numbers)
        self.rows = np.concatenate(rows)
        numbers = self.rows[:, 0]
        _, last = np.unique(numbers[::-1], return_index=True)  # the last row of each number counts
        self.alive = np.sort(len(numbers) - 1 - last)
        self.uids = numbers[self.alive]
        everything: Any = sparse.vstack(parts, format="csr")
        counts = everything[self.alive]
        held_by = np.bincount(counts.indices, minlength=FEATURES)
        self.idf = (np.log((1 + len(self.uids)) / (1 + held_by)) + 1).astype(np.float32)
        self.matrix: Any = self.weigh(counts)
        self._columns: Any = None

    def weigh(self, counts: Any) -> Any:
        from sklearn.preprocessing import normalize

        weighed = counts.copy()
        weighed.data = (1 + np.log(weighed.data)).astype(np.float32) * self.idf[weighed.indices]
        return normalize(weighed, copy=False) if weighed.shape[0] else weighed

    def top(self, counts: Any, k: int, allowed: np.ndarray | None) -> Near:
        weighed = self.weigh(counts)
        if self._columns is None:
            self._columns = self.matrix.tocsc()
        scores = np.zeros(len(self.uids), np.float32)
        columns = self._columns
        for feature, weight in zip(weighed.indices, weighed.data, strict=True):
            held = slice(columns.indptr[feature], columns.indptr[feature + 1])
            scores[columns.indices[held]] += weight * columns.data[held]
        shared = scores > 0
        return best(self.uids[shared], scores[shared], k, allowed)

    def rows_of(self, uids: Sequence[int]) -> Any:
        order = np.argsort(self.uids)
        places = order[np.searchsorted(self.uids, np.asarray(uids), sorter=order)]
        return self.matrix[places]


def _counts(texts: Sequence[str]) -> Any:
    """Return how often each hashed word occurs in each text, [texts, FEATURES]."""
    from sklearn.feature_extraction.text import HashingVectorizer

    settings: Any = {"norm": None, "analyzer": _telling}  # both are allowed, though scikit-learn's defaults are strings
    return HashingVectorizer(n_features=FEATURES, alternate_sign=False, **settings).transform(texts)


def _telling(text: str) -> list[str]:
    return [word for word in words(text) if word not in FUNCTION_WORDS and len(word) > 1]


def _segments(folder: Path) -> list[Path]:
    return list(itertools.takewhile(Path.is_file, (folder / f"{i:06d}.npz" for i in itertools.count())))
