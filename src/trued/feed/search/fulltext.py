"""Ranking by words: BM25 by SQLite's FTS5, and idf-weighted ts_rank by PostgreSQL's tsvector.

Titles weigh 5, authors 2, abstracts 1 on both, and words count by their stems (Porter's). PostgreSQL has no BM25: each
word's `ts_rank`, normalised by the logarithm of the length, is multiplied with the word's idf, which comes near.

However large the store, a search scores about `BUDGET` papers, twice at most: the rare words decide which, and the
common ones only help to rank them. Where all words are common, the newest papers that contain them are scored.

Knows terms and the two kinds of index. Knows nothing of meaning, filters or pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, bindparam, column, func, literal_column, select, table, text
from sqlalchemy.orm import Session

from trued.feed.search.query import Term
from trued.feed.store.tables import PaperRow

BUDGET = 10_000  # papers scored for one search
WEIGHTS = "5.0, 2.0, 1.0"  # BM25: title, authors, abstract
CLASSES = "{0.0, 0.2, 0.4, 1.0}"  # ts_rank: D, C (abstract), B (authors), A (title)
BY_LOG_LENGTH = 1  # ts_rank: divide by 1 + log(length)
LEAST = 1e-9  # BM25 gives nothing, or less, for a word that more than half of all papers contain
SHORTEST_STEM = 3  # letters
UNSPACED = ((0x2E80, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF), (0x0E00, 0x0EFF))

_FTS = table("papers_fts", column("rowid"))


def unspaced(term: Term) -> bool:
    """True for scripts that put no blanks between words, such as Chinese: the index does not know their words."""
    return any(first <= ord(c) <= last for word in term.words for c in word for first, last in UNSPACED)


def matches(term: Term, sqlite: bool, *, column: str | None = None) -> ColumnElement[bool]:
    """Return the condition that a paper contains a term, anywhere or in one column ("title" or "names")."""
    if sqlite:
        matching = select(_FTS.c.rowid).where(_match(_sqlite_term(term, column))).correlate(None)
        return PaperRow.uid.in_(matching)
    return _at(_postgres_term(term, column))


@dataclass(frozen=True)
class _Plan:
    """One way to look: for any, or all, of some terms; and, if there are `helpers`, for any of these, too."""

    terms: list[Term]
    together: Literal["any", "all"] = "any"
    helpers: Sequence[Term] = ()


def ranked(
    session: Session, terms: Sequence[Term], conditions: Sequence[ColumnElement[bool]], limit: int, *, sqlite: bool
) -> list[tuple[int, float]]:
    """Return the papers that fit the terms best with their scores above 0, the best first.

    Args:
        terms: of which at least one must occur.
        conditions: what else must be true.
        limit: how many papers at most.
    """
    sizes: dict[Term, int] = {}
    for term in terms:
        held, size = _held(session, term, sqlite)
        if size:
            sizes[held] = size
    find = _by_bm25 if sqlite else _by_ts_rank
    scores: dict[int, float] = {}
    for plan in _plans(sizes):
        for uid, score in find(session, plan, sizes, conditions, limit):
            # A word that a paper does not contain adds nothing to its score.
            scores[uid] = max(score, scores.get(uid, 0.0))
        if plan.together == "all" and len(scores) >= limit:
            break
    return sorted(scores.items(), key=lambda item: (-item[1], -item[0]))[:limit]


def _plans(sizes: dict[Term, int]) -> list[_Plan]:
    """Return the plans, in turn: one of them finds each paper with a rare word, with its whole score."""
    rising = sorted(sizes, key=lambda term: sizes[term])
    rare: list[Term] = []
    while rising and sum(sizes[term] for term in rare) + sizes[rising[0]] <= BUDGET:
        rare.append(rising.pop(0))
    if rare and rising:
        return [_Plan(rare, helpers=rising), _Plan(rare)]
    if rare:
        return [_Plan(rare)]
    return [_Plan(rising, "all"), _Plan(rising)] if rising else []


def _held(session: Session, term: Term, sqlite: bool) -> tuple[Term, int]:
    """Return a term and how many papers contain it, counted no further than the budget reaches.

    The index contains stems: what is being typed, "attacki", can be longer than the stem of what is meant. Then the
    longest beginning of it that occurs is returned in its place.
    """
    some = select(literal_column("1"))
    if sqlite:
        some = some.select_from(_FTS).where(_match(_sqlite_term(term)))
    else:
        some = some.select_from(PaperRow).where(_at(_postgres_term(term)))
    size = session.scalar(select(func.count()).select_from(some.limit(BUDGET + 1).subquery())) or 0
    if not size and term.prefix and len(term.words[-1]) > SHORTEST_STEM:
        return _held(session, Term((*term.words[:-1], term.words[-1][:-1]), prefix=True), sqlite)
    return term, size


def _by_bm25(
    session: Session, plan: _Plan, _: dict[Term, int], conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[tuple[int, float]]:
    expression = (" AND " if plan.together == "all" else " OR ").join(map(_sqlite_term, plan.terms))
    if plan.helpers:
        expression = f"({expression}) AND ({' OR '.join(map(_sqlite_term, plan.helpers))})"
    score = literal_column(f"bm25(papers_fts, {WEIGHTS})").label("score")  # the lower the better
    query = select(_FTS.c.rowid, score).where(_match(expression)).order_by(score, _FTS.c.rowid.desc()).limit(limit)
    if conditions:
        query = query.join(PaperRow, PaperRow.uid == _FTS.c.rowid).where(*conditions)
    else:
        newest = select(_FTS.c.rowid).where(_match(expression)).order_by(_FTS.c.rowid.desc())
        if (oldest := session.scalar(newest.offset(BUDGET).limit(1))) is not None:
            query = query.where(_FTS.c.rowid > oldest)
    return [(uid, max(-score, LEAST)) for uid, score in session.execute(query)]


def _by_ts_rank(
    session: Session, plan: _Plan, sizes: dict[Term, int], conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[tuple[int, float]]:
    total = session.scalar(select(func.count()).select_from(PaperRow)) or 1
    weights, fts = literal_column(f"'{CLASSES}'::real[]"), literal_column("papers.fts")
    score: Any = literal_column("0.0")
    for term in (*plan.terms, *plan.helpers):
        idf = math.log(1 + (total - sizes[term] + 0.5) / (sizes[term] + 0.5))
        score = score + idf * func.ts_rank(weights, fts, _tsquery(_postgres_term(term)), BY_LOG_LENGTH)
    expression = (" & " if plan.together == "all" else " | ").join(map(_postgres_term, plan.terms))
    candidates = select(PaperRow.uid).where(_at(expression), *conditions)
    if plan.helpers:
        candidates = candidates.where(_at(" | ".join(map(_postgres_term, plan.helpers))))
    if not conditions:
        candidates = candidates.order_by(PaperRow.uid.desc()).limit(BUDGET)
    score = score.label("score")
    query = select(PaperRow.uid, score).where(PaperRow.uid.in_(candidates)).order_by(score.desc(), PaperRow.uid.desc())
    return [(uid, max(float(score), LEAST)) for uid, score in session.execute(query.limit(limit))]


def _match(expression: str) -> Any:
    return text("papers_fts MATCH :match").bindparams(bindparam("match", expression, unique=True))


def _sqlite_term(term: Term, column: str | None = None) -> str:
    """Return a term in FTS5's language; its words contain letters and digits only, and stand in quotes."""
    quoted = f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'
    return f"{column} : {quoted}" if column else quoted


def _postgres_term(term: Term, column: str | None = None) -> str:
    """Return a term in the language of to_tsquery."""
    wanted = {"title": "A", "names": "B", "abstract": "C"}[column] if column else ""
    labels = [wanted] * len(term.words)
    if term.prefix:
        labels[-1] = f"*{wanted}"
    lexemes = [f"'{word}'{f':{label}' if label else ''}" for word, label in zip(term.words, labels, strict=True)]
    return f"({' <-> '.join(lexemes)})"


def _tsquery(expression: str) -> Any:
    return func.to_tsquery(literal_column("'papers_words'"), expression)


def _at(expression: str) -> Any:
    return literal_column("papers.fts").op("@@", is_comparison=True)(_tsquery(expression))
