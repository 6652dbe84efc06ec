"""Search by words and by meaning, fused; papers like one; papers like those that bear a tag.

Words rank by BM25 (`fulltext`), meaning by the cosine of sentence embeddings (`embeddings`), or of TF-IDF vectors where
there is no embedder (`terms`). Each gives its first 200, and their scores are fused (`ranking`).

Knows queries and rankings. Knows nothing of pages or terminals.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
from sqlalchemy import String, and_, cast, func, or_, select

from trued.errors import InputError, nearest
from trued.feed.search import conditions, embeddings, fulltext, recommend, terms
from trued.feed.search.embeddings import Embeddings, Near
from trued.feed.search.query import Query, parse
from trued.feed.search.ranking import fuse
from trued.feed.search.snippet import snippet
from trued.feed.search.terms import Terms
from trued.feed.store.filters import Condition, of_filters
from trued.feed.store.people import tag_name
from trued.feed.store.reader import PaperReader
from trued.feed.store.records import OWNER, Embed, Filters, Hit, Mode, Nearness, StoredPaper
from trued.feed.store.tables import PaperRow, TagRow
from trued.files import cache_dir

CANDIDATES = 200  # of each ranking
CATCH_UP = {"embeddings": 64, "TF-IDF": 5_000}  # papers that a search itself indexes: about a second's work
BATCHES = {"embeddings": 4 * embeddings.BATCH, "TF-IDF": terms.BATCH}
Progress = Callable[[int, int | None], object]


class Search(PaperReader):
    """The part of the store that finds."""

    embed: Embed | None = None
    _semantic: Embeddings | Terms | None = None
    _terms: Terms | None = None
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def semantics(self) -> str:
        """What meaning is judged by: "embeddings", or "TF-IDF" where there is no embedder."""
        return "TF-IDF" if self.embed is None else "embeddings"

    def search(
        self,
        q: str,
        *,
        mode: Mode = "hybrid",
        filters: Filters = Filters(),  # noqa: B008 - frozen
        k: int = 50,
        explain: bool = False,
        person: str = OWNER,
    ) -> list[Hit]:
        """Return the papers that fit a search best, the best first; equal ones by date.

        Args:
            q: see `trued.feed.search.query`; no text is an error. Without words, the newest papers that fit.
            mode: which rankings count.
            filters: what must be true beside what `q` itself requires.
            k: how many at most.
            explain: give both ranks of each hit, also the one that `mode` leaves out.
            person: whose tags and marks are meant.

        Raises:
            InputError: a mode or a filter that there is not, or k below 1.
        """
        if mode not in get_args(Mode):
            raise InputError(f"no mode is named {mode!r}{nearest(mode, get_args(Mode))} (hybrid, keyword or semantic)")
        _positive(k)
        query, limit = parse(q), max(k, CANDIDATES)
        constraints = [
            *of_filters(filters, person, self.verdicts),
            *conditions.of_query(query, person, self.sqlite),
        ]
        if not query.text:
            return self._hits([(uid, 0.0) for uid in self._newest(constraints, k)], query, [], [])
        keyword = self._by_words(query, constraints, limit) if mode != "semantic" or explain else []
        semantic = self._by_meaning(query, constraints, limit) if mode != "keyword" or explain else []
        counted = {"hybrid": (keyword, semantic), "keyword": (keyword, []), "semantic": ([], semantic)}[mode]
        ranking = self._in_order(fuse(*counted))[:k]
        return self._hits(ranking, query, [uid for uid, _ in keyword], [uid for uid, _ in semantic])

    def similar(self, uid: int, k: int = 10, order: Nearness = "similarity") -> list[Hit]:
        """Return the k papers nearest in meaning to one; "new" and "trending" put those k into another order.

        Raises:
            InputError: no such paper or order, or k below 1.
        """
        if order not in get_args(Nearness):
            raise InputError(f"no order is named {order!r} (similarity, new or trending)")
        _positive(k)
        paper = self.get(uid)
        semantic = self._caught_up()
        near = [
            neighbour
            for neighbour in semantic.near(uid, text_of(paper.paper.title, paper.paper.abstract), k + 1)
            if neighbour[0] != uid
        ]
        hits = self._hits(near[:k], Query(), [], [uid for uid, _ in near[:k]])
        if order == "new":
            hits.sort(key=lambda hit: hit.paper.shown or date.min, reverse=True)
        elif order == "trending":
            hits.sort(key=lambda hit: hit.paper.trending, reverse=True)
        return hits

    def recommend(self, person: str, tag: str, k: int = 20, days: int = 30) -> list[Hit]:
        """Return recent papers like those that bear a person's tag, and unlike the others; tagged ones are left out.

        Args:
            days: how far back "recent" reaches, by the day under which a paper is shown.

        Raises:
            InputError: nothing bears the tag, or k or days are below 1.
        """
        _positive(k)
        _positive(days, "days")
        tag, since = tag_name(tag), self.now().date() - timedelta(days=days)
        with self.reading() as session:
            tagged = list(session.scalars(select(TagRow.uid).filter_by(person=person, tag=tag).order_by(TagRow.uid)))
            recent = list(session.scalars(select(PaperRow.uid).where(PaperRow.shown >= since).order_by(PaperRow.uid)))
            others = recommend.sample(list(session.scalars(select(PaperRow.uid).order_by(PaperRow.uid))), set(tagged))
        if not tagged:
            raise InputError(f"no paper bears the tag {tag!r}; set it first with `trued papers tag NUMBER {tag}`")
        words = self._all_terms()
        vectors = self._caught_up() if self.embed is not None else None
        candidates = [uid for uid in recent if uid not in set(tagged)]
        scored = recommend.rank(tagged, others, candidates, words, vectors if isinstance(vectors, Embeddings) else None)
        return self._hits(scored[:k], Query(), [], [])

    def index(self, progress: Progress | None = None) -> int:
        """Bring the vectors up to date with the papers; what was done stays done if it is cut off.

        Returns:
            How many papers came in.
        """
        return self._extend(self._meaning(), None, progress)

    def unindexed(self) -> int:
        """Return how many papers have no vector yet, or one of an older text; the embedder is not loaded for it."""
        semantic = self._meaning()
        if isinstance(semantic, Embeddings) and not semantic.folder.is_dir():
            return self.count()
        known = semantic.stamps()
        with self.reading() as session:
            return sum(known.get(uid) != stamp for uid, stamp in session.execute(select(PaperRow.uid, PaperRow.stamp)))

    # -- the two rankings ----------------------------------------------------------------------------------------------

    def _by_words(self, query: Query, constraints: list[Condition], limit: int) -> Near:
        joined = [term for term in query.terms if fulltext.unspaced(term)]
        constraints = [*constraints, *conditions.of_query(Query(phrases=tuple(joined)), OWNER, self.sqlite)]
        wanted = [term for term in query.wanted if term not in joined and not fulltext.unspaced(term)]
        if not wanted:
            return [(uid, 1.0) for uid in self._newest(constraints, limit)]
        with self.reading() as session:
            return fulltext.ranked(session, wanted, constraints, limit, sqlite=self.sqlite)

    def _by_meaning(self, query: Query, constraints: list[Condition], limit: int) -> Near:
        allowed = None
        if constraints:
            # As one text: a hundred thousand rows of one number each take ten times as long.
            numbers = select(func.aggregate_strings(cast(PaperRow.uid, String), ",")).where(*constraints)
            with self.reading() as session:
                allowed = np.fromstring(session.scalar(numbers) or "", np.int64, sep=",")
        return self._caught_up().top(query.text, limit, allowed)

    def _newest(self, constraints: list[Condition], limit: int) -> list[int]:
        query = (
            select(PaperRow.uid)
            .where(*constraints)
            .order_by(PaperRow.shown.desc().nulls_last(), PaperRow.uid)
            .limit(limit)
        )
        with self.reading() as session:
            return list(session.scalars(query))

    def _in_order(self, scores: dict[int, float]) -> list[tuple[int, float]]:
        """Return (number, score), the highest score first, equal ones by date, the latest first."""
        best = sorted(scores, key=lambda uid: -scores[uid])[: 2 * CANDIDATES]
        with self.reading() as session:
            known = session.execute(select(PaperRow.uid, PaperRow.shown).where(PaperRow.uid.in_(best)))
            days = dict(known.tuples().all())
        present = [uid for uid in best if uid in days]
        present.sort(key=lambda uid: (-scores[uid], -(days[uid] or date.min).toordinal(), uid))
        return [(uid, scores[uid]) for uid in present]

    def _hits(
        self, scored: Sequence[tuple[int, float]], query: Query, keyword: list[int], semantic: list[int]
    ) -> list[Hit]:
        papers = self.many([uid for uid, _ in scored])
        by_words, by_meaning = ({uid: rank for rank, uid in enumerate(ranking, 1)} for ranking in (keyword, semantic))
        return [
            Hit(papers[uid], score, by_words.get(uid), by_meaning.get(uid), _snippet(papers[uid], query))
            for uid, score in scored
            if uid in papers
        ]

    # -- vectors -------------------------------------------------------------------------------------------------------

    def _caught_up(self) -> Embeddings | Terms:
        """Return the vectors, with the latest few papers in them."""
        semantic = self._meaning()
        self._extend(semantic, CATCH_UP[semantic.name], None)
        return semantic

    def _meaning(self) -> Embeddings | Terms:
        if self.embed is None:
            return self._words()
        if self._semantic is None:
            self._semantic = Embeddings(self._folder("embeddings"), self.embed)
        return self._semantic

    def _words(self) -> Terms:
        if self._terms is None:
            self._terms = Terms(self._folder("terms"))
        return self._terms

    def _all_terms(self) -> Terms:
        self._extend(self._words(), None, None)
        return self._words()

    def _folder(self, name: str) -> Path:
        """Return where vectors lie: in the cache under the store's id; a store in memory takes its own with it."""
        if self.sqlite and self.engine.url.database in (None, "", ":memory:"):
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="trued-")
            return Path(self._scratch.name) / name
        return cache_dir() / "feed" / self.id / name

    def _extend(self, semantic: Embeddings | Terms, most: int | None, progress: Progress | None) -> int:
        """Add the papers that came in after the last one there; with `most`, nothing if they are more than that."""
        done, size = 0, BATCHES[semantic.name]
        position = semantic.position()
        behind = self._behind(position, most) if most is not None or progress is not None else None
        if behind == 0 or (most is not None and behind is not None and behind > most):
            return 0
        while rows := self._after(position, size):
            semantic.extend(rows)
            position = (rows[-1][1], rows[-1][0])
            done += len(rows)
            if progress is not None:
                progress(done, behind)
        return done

    def _after(self, position: tuple[int, int], limit: int) -> list[embeddings.Row]:
        query = (
            select(PaperRow.uid, PaperRow.stamp, PaperRow.title, PaperRow.abstract)
            .where(_later(position))
            .order_by(PaperRow.stamp, PaperRow.uid)
            .limit(limit)
        )
        with self.reading() as session:
            return [(uid, stamp, text_of(title, abstract)) for uid, stamp, title, abstract in session.execute(query)]

    def _behind(self, position: tuple[int, int], most: int | None) -> int:
        """Return how many papers came in after a position, counted no further than one above `most`."""
        query = select(PaperRow.uid).where(_later(position))
        with self.reading() as session:
            return len(session.scalars(query if most is None else query.limit(most + 1)).all())


def text_of(title: str, abstract: str) -> str:
    """Return what is embedded of a paper."""
    return f"{title}. {abstract}" if abstract else title


def _later(position: tuple[int, int]) -> Condition:
    stamp, uid = position
    return or_(PaperRow.stamp > stamp, and_(PaperRow.stamp == stamp, PaperRow.uid > uid))


def _snippet(paper: StoredPaper, query: Query) -> str:
    return snippet(paper.paper.abstract, query.wanted)


def _positive(value: int, name: str = "k") -> None:
    if value < 1:
        raise InputError(f"{name} is {value}; expected a number from 1")
