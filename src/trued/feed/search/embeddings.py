"""Sentence embeddings of all papers: a matrix on disk that only grows, searched by one product.

Knows texts, numbers of papers and the files. Knows nothing of the model, which comes in as a function, or of databases.

The matrix lies in float32 and is memory-mapped: numpy turns float16 into float32 at about 20 ns a number, which for
100,000 papers of 384 dimensions is 0.8 s a search, and the product itself takes a small part of that. A paper whose
text changes gets a new row, and its old row counts no more. Vectors are written before their rows, so a crash leaves
at most vectors without a row, which the next writer overwrites.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from threadpoolctl import ThreadpoolController

from trued.errors import InputError
from trued.feed.store.records import Embed
from trued.files import write_text

BATCH = 64  # texts at once
PROBE = "An embedder is told from another one by this sentence."
Row = tuple[int, int, str]  # a paper's number, the stamp of its text, the text
Near = list[tuple[int, float]]  # numbers of papers and their cosines, the nearest first


class Embeddings:
    """The vectors of a store's papers.

    Args:
        folder: where the matrix lies; made if it is not there.
        embed: texts to unit vectors.
    """

    name = "embeddings"

    def __init__(self, folder: Path, embed: Embed) -> None:
        self.folder = folder
        self._embed = embed
        self._loaded: _Matrix | None = None
        self.vector: Callable[[str], np.ndarray] = lru_cache(256)(lambda text: self._vectors([text])[0])

    def position(self) -> tuple[int, int]:
        """Return (stamp, number) of the paper that came in last; (-1, -1) if none has."""
        rows = self._matrix().rows
        return (int(rows[-1, 1]), int(rows[-1, 0])) if len(rows) else (-1, -1)

    def stamps(self) -> dict[int, int]:
        """Return number → stamp of all papers that have a vector."""
        matrix = self._matrix()
        return dict(zip(matrix.uids.tolist(), matrix.rows[matrix.alive, 1].tolist(), strict=True))

    def extend(self, rows: Sequence[Row]) -> None:
        """Add vectors for papers, in the order of (stamp, number), all of them after `position`."""
        vectors = self._vectors([text for _, _, text in rows])
        with FileLock(self.folder / ".lock"):
            at = self.position()  # another process may have added some of them meanwhile
            fresh = [i for i, (uid, stamp, _) in enumerate(rows) if (stamp, uid) > at]
            self._matrix().append(vectors[fresh], np.array([rows[i][:2] for i in fresh], dtype=np.int64).reshape(-1, 2))
            self._loaded = _Matrix(self.folder, vectors.shape[1])

    def top(self, text: str, k: int, allowed: np.ndarray | None = None) -> Near:
        """Return the k papers nearest to a text, among those allowed (None: all)."""
        return self._matrix().top(self.vector(text), k, allowed)

    def near(self, uid: int, text: str, k: int, allowed: np.ndarray | None = None) -> Near:
        """Return the k papers nearest to a paper, itself included; `text` stands in while it has no vector."""
        matrix = self._matrix()
        place = matrix.place(uid)
        return matrix.top(self.vector(text) if place is None else matrix.vectors[place], k, allowed)

    def matrix_of(self, uids: Sequence[int]) -> np.ndarray:
        """Return the vectors of papers as rows; zeros for one that has none."""
        matrix = self._matrix()
        places = [matrix.place(uid) for uid in uids]
        zero = np.zeros(matrix.vectors.shape[1], np.float32)
        return np.stack([zero if place is None else matrix.vectors[place] for place in places])

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """Embed, and check what comes back: a wrong vector would be found only as a strange result much later."""
        vectors = np.asarray(self._embed(texts), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise InputError(
                f"the embedder gave shape {vectors.shape} for {len(texts)} texts; expected one row for each"
            )
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-2):
            worst = float(lengths[np.abs(lengths - 1).argmax()])
            raise InputError(f"the embedder gave a vector of length {worst:.3g}; expected unit length")
        return vectors

    def _matrix(self) -> _Matrix:
        if self._loaded is None:
            self._loaded = self._open()
        elif self._loaded.grown():
            self._loaded = _Matrix(self.folder, self._loaded.vectors.shape[1])
        return self._loaded

    def _open(self) -> _Matrix:
        """Open the matrix, or begin anew if another embedder made it."""
        probe, about = self._vectors([PROBE])[0], self.folder / "about.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        if about.is_file():
            old = np.array(json.loads(about.read_text())["probe"], np.float32)
            if old.shape == probe.shape and float(old @ probe) > 0.99:
                return _Matrix(self.folder, len(probe))
            shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True)
        write_text(about, json.dumps({"dimensions": len(probe), "probe": [round(float(x), 6) for x in probe]}))
        return _Matrix(self.folder, len(probe))


class _Matrix:
    """The files as they are now: `vectors` [n, dim], `rows` [n, 2] (number, stamp), and which rows still count."""

    def __init__(self, folder: Path, dim: int) -> None:
        self.paths = folder / "vectors.f32", folder / "rows.i64"
        n = min(_size(self.paths[0]) // (4 * dim), _size(self.paths[1]) // 16)
        self.vectors: Any = _mapped(self.paths[0], np.float32, (n, dim))
        self.rows = np.array(_mapped(self.paths[1], np.int64, (n, 2)))
        numbers = self.rows[:, 0]
        # The last row of each number counts; np.unique gives the first of a reversed array.
        _, last = np.unique(numbers[::-1], return_index=True)
        self.alive = np.sort(n - 1 - last)
        self.uids = numbers[self.alive]
        self._order = np.argsort(self.uids)

    def grown(self) -> bool:
        """True if another process has added rows."""
        return _size(self.paths[1]) // 16 != len(self.rows)

    def append(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        for path, data, at in ((self.paths[0], vectors, self.vectors.nbytes), (self.paths[1], rows, self.rows.nbytes)):
            with open(path, "r+b" if path.exists() else "w+b") as file:
                file.truncate(at)
                file.seek(at)
                file.write(np.ascontiguousarray(data).tobytes())
                file.flush()

    def place(self, uid: int) -> int | None:
        position = np.searchsorted(self.uids, uid, sorter=self._order)
        if position == len(self.uids) or self.uids[self._order[position]] != uid:
            return None
        return int(self.alive[self._order[position]])

    def top(self, vector: np.ndarray, k: int, allowed: np.ndarray | None) -> Near:
        if not len(self.alive):
            return []
        # The model that embedded the query has threads of its own, which still spin for a moment: on two cores, a
        # product in two threads that waits for them takes 100 ms, and in one 20. It is bound by memory all the same.
        with _pools().limit(limits=1, user_api="blas"):
            scores = self.vectors @ vector
        if len(self.alive) < len(scores):
            scores = scores[self.alive]
        return best(self.uids, scores, k, allowed)


def best(uids: np.ndarray, scores: np.ndarray, k: int, allowed: np.ndarray | None) -> Near:
    """Return the k numbers with the highest scores, the highest first; equal ones by number, the latest first."""
    if allowed is not None:
        mask = np.isin(uids, allowed)
        uids, scores = uids[mask], scores[mask]
    if len(scores) > k:
        # A value that ties with the k-th must not drop out by chance: keep all that reach it, then sort.
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        mask = scores >= least
        uids, scores = uids[mask], scores[mask]
    order = np.lexsort((-uids, -scores))[:k]
    return [(int(uids[i]), float(scores[i])) for i in order]


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mapped(path: Path, dtype: type, shape: tuple[int, int]) -> np.ndarray:
    return np.memmap(path, dtype, "r", shape=shape) if shape[0] else np.zeros(shape, dtype)
