"""Searching 100,000 papers, by words and meaning together and by words alone, beside a plain scan of every text.

The papers are made up: 400 topics with words of their own, drawn by Zipf's law over 40,000, in abstracts of about 180
words. So are the vectors, one random direction a word, since embedding that many real abstracts takes a GPU or an hour
(its rate is measured and reported); each search embeds its query by all-MiniLM-L6-v2 all the same, so that its time
counts. The plain scan counts the query's words in every title, author list and abstract, all held in memory. `findings`
say how often the paper that the query was made from is among the first ten, on each side, and the 95th percentiles.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from side_by_side import WORDS, Benchmark, Side, Work

DIMENSIONS = 384
TOPICS, VOCABULARY, OWN = 400, 40_000, 600  # topics, words, words of one topic
TEXTS = 128  # embedded to measure the model's rate


class Literature:
    """Papers about made-up topics, the same for the same seed."""

    def __init__(self, count: int) -> None:
        import numpy as np

        self.rng = np.random.default_rng(0)
        self.count = count
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
        made = {"".join(self.rng.choice(syllables, 3)) for _ in range(VOCABULARY * 2)}
        self.words = np.array([*WORDS, *sorted(made)[: VOCABULARY - len(WORDS)]])
        self.topics = self.rng.integers(len(WORDS), len(self.words), (TOPICS, OWN))
        self.common, self.own = _zipf(len(self.words), 1.05), _zipf(OWN, 0.8)
        self.names = np.array([f"{a.title()} {b.title()}" for a, b in self.rng.choice(self.words, (20_000, 2))])

    def papers(self) -> Iterator[Any]:
        from datetime import date, timedelta

        from trued.feed.paper import Author, FeedPaper

        rng = self.rng
        for n in range(self.count):
            topic, other = rng.integers(0, TOPICS, 2)
            title = self.words[[*self._of(topic, 5), *self._of(other, 3)]]
            body = [*self._any(110), *self._of(topic, 45), *self._of(other, 25)]
            rng.shuffle(body)
            yield FeedPaper(
                " ".join(title), " ".join(self.words[body]), f"{2001 + n // 10_000}.{n % 10_000:05d}",
                published=date(2018, 1, 1) + timedelta(days=int(rng.integers(0, 2900))), source="arxiv",
                authors=tuple(Author(name) for name in rng.choice(self.names, 4)), categories=("cs.CL", "cs.LG"),
                upvotes=int(rng.geometric(0.1)),
            )  # fmt: skip

    def _of(self, topic: int, count: int) -> Any:
        return self.topics[topic][self.own.searchsorted(self.rng.random(count))]

    def _any(self, count: int) -> Any:
        return self.common.searchsorted(self.rng.random(count))


def _zipf(count: int, power: float) -> Any:
    """The cumulative distribution of Zipf's law."""
    import numpy as np

    weights = 1 / (np.arange(count) + 2.7) ** power
    return (weights.cumsum() / weights.sum()) * (1 + 1e-12)


class Directions:
    """An embedder that sums one random direction a word; with a model, that model embeds the query, too."""

    def __init__(self, model: Callable[[list[str]], Any] | None = None) -> None:
        import numpy as np

        self.table = np.random.default_rng(1).standard_normal((1 << 14, DIMENSIONS), dtype=np.float32)
        self.model = model

    def __call__(self, texts: list[str]) -> Any:
        import numpy as np

        if self.model is not None:
            self.model(texts)
        rows = [self.table[[zlib.crc32(word.encode()) & 0x3FFF for word in text.split()]].sum(0) for text in texts]
        vectors = np.stack(rows)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def shared(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the store, its index and its vectors, and the queries; measure how long each takes."""
    import numpy as np

    store = opened(settings | {"folder": str(folder)}, Directions())
    ingest, made = 0.0, Literature(settings["papers"]).papers()
    while batch := list(islice(made, 5_000)):
        start = time.perf_counter()
        report = store.ingest(batch)
        ingest += time.perf_counter() - start
        if report.added != len(batch):
            raise RuntimeError(f"{report.added} of {len(batch)} papers came in: {report.refused[:1]}")
    start = time.perf_counter()
    store.index()
    vectors = time.perf_counter() - start
    queries = list(make_queries(store, settings["queries"], np.random.default_rng(2)))
    store.close()
    return {
        "asked": queries,
        "ingest_seconds": ingest,
        "vectors_seconds": vectors,
        "database_bytes": (folder / "papers.db").stat().st_size,
        "embedder_rate": rate(settings),
        "embedder_rate_64": rate(settings, longest=64),
    }


def make_queries(store: Any, count: int, rng: Any) -> Iterator[tuple[str, int]]:
    """Queries, each with the number of the paper that it was made from: words of titles, some with more around them."""
    total = store.count()
    for n in range(count):
        paper = store.get(int(rng.integers(1, total + 1)))
        title = paper.paper.title.split()
        words = " ".join(rng.permutation(title)[: 3 + n % 3])
        extra = (
            "",
            "",
            " the water paper model",
            f" year:{paper.shown.year}..",
            f' author:"{paper.paper.authors[0].name}"',
        )
        yield f"{words}{extra[n % 5]}", paper.uid


def rate(settings: dict[str, Any], **options: int) -> float:
    """Texts a second that all-MiniLM-L6-v2 embeds, of about 170 tokens each; 0 in a tiny run."""
    if settings["tiny"]:
        return 0.0
    from trued.language.engine.embedder import SentenceEmbedder

    model, text = SentenceEmbedder.load(dtype="auto", **options), " ".join(WORDS * 3)
    model([text] * 8)
    start = time.perf_counter()
    model([text] * TEXTS)
    return TEXTS / (time.perf_counter() - start)


def opened(settings: dict[str, Any], embed: Any) -> Any:
    """The store, with its vectors beside it."""
    from trued.feed.paper_store import PaperStore

    os.environ["TRUED_CACHE"] = str(Path(settings["folder"]) / "cache")
    return PaperStore(f"sqlite:///{settings['folder']}/papers.db", embed=embed)


def timed(settings: dict[str, Any], find: Callable[[str], list[int]], queries: int) -> dict[str, Any]:
    """Ask each query once; "seconds" is the mean of one search."""
    seconds, hit_count = [], 0
    for q, uid in settings["asked"][:queries]:
        start = time.perf_counter()
        hits = find(q)
        seconds.append(time.perf_counter() - start)
        hit_count += uid in hits
    ordered = sorted(seconds)
    return {
        "seconds": statistics.mean(seconds),
        "p50": statistics.median(seconds),
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "found": hit_count / len(seconds),
    }


def both(settings: dict[str, Any]) -> Work:
    model = None
    if not settings["tiny"]:
        cache = os.environ.get("TRUED_CACHE")
        from trued.language.engine.embedder import SentenceEmbedder

        model = SentenceEmbedder.load(dtype="auto")
        os.environ["TRUED_CACHE"] = cache or ""
    return searched(settings, Directions(model), "hybrid")


def words_alone(settings: dict[str, Any]) -> Work:
    return searched(settings, None, "keyword")


def searched(settings: dict[str, Any], embed: Any, mode: str) -> Work:
    store = opened(settings, embed)

    def find(q: str) -> list[int]:
        return [hit.paper.uid for hit in store.search(q, mode=mode, k=10)]

    def built() -> dict[str, Any]:
        names = ("ingest_seconds", "vectors_seconds", "database_bytes", "embedder_rate", "embedder_rate_64", "papers")
        return {name: settings[name] for name in names}

    return Work(
        lambda: timed(settings, find, settings["queries"]), warm_up=lambda: [find(f"warm up {n}") for n in range(5)],
        after=built,
    )  # fmt: skip


def scan(settings: dict[str, Any]) -> Work:
    from trued.feed.search.query import parse

    store = opened(settings, None)
    papers, _ = store.listing("new", limit=settings["papers"])
    texts = [
        (
            row.uid,
            row.paper.title.lower(),
            " ".join(a.name for a in row.paper.authors).lower(),
            row.paper.abstract.lower(),
        )
        for row in papers
    ]

    def find(q: str) -> list[int]:
        wanted = [word for term in parse(q).terms for word in term.words]
        scores = [
            (sum(5 * title.count(w) + 2 * names.count(w) + abstract.count(w) for w in wanted), uid)
            for uid, title, names, abstract in texts
        ]
        return [uid for _, uid in sorted(scores, reverse=True)[:10]]

    return Work(lambda: timed(settings, find, settings["scanned"]))


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    findings: dict[str, Any] = {}
    for name, rounds in values.items():
        p50, p95 = (statistics.median(run[key] for run in rounds) for key in ("p50", "p95"))
        findings[name] = f"median {1e3 * p50:.1f} ms, 95 % under {1e3 * p95:.1f} ms; found {rounds[0]['found']:.0%}"
    built = values["trued"][0]
    count = built["papers"]
    findings["keyword index"] = (
        f"{built['ingest_seconds']:.0f} s with the ingest, {count / built['ingest_seconds']:,.0f}/s"
    )
    findings["vectors, made up"] = f"{built['vectors_seconds']:.0f} s, {count / built['vectors_seconds']:,.0f}/s"
    if built["embedder_rate"]:
        for name, key in (("all-MiniLM-L6-v2", "embedder_rate"), ("the same, 64 tokens a text", "embedder_rate_64")):
            findings[name] = f"{built[key]:.0f} texts/s: {count / built[key] / 60:.0f} minutes for as many"
    findings["database"] = f"{built['database_bytes'] / 1e6:,.0f} MB"
    return findings


BENCHMARK = Benchmark(
    name="paper_search",
    what="One search over 100,000 papers, words and meaning",
    peer="plain scan",
    target="95 % under 100 ms; memory under 2 GB; index within 10 minutes",
    unit="searches",
    sides=[Side("trued", both), Side("trued, words", words_alone), Side("plain scan", scan)],
    compare=compare,
    settings={"papers": 100_000, "queries": 200, "scanned": 10},
    tiny={"papers": 400, "queries": 20, "scanned": 10},
    shared=shared,
    ratios=[("trued", "plain scan"), ("trued, words", "plain scan")],
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
