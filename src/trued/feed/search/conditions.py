"""What must be true of a paper, as SQL: fields of a search, phrases and exclusions.

Knows queries and tables. Knows nothing of ranking.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import and_, func, not_, or_

from trued.feed.search import fulltext
from trued.feed.search.query import Clause, Query, Term, words, years
from trued.feed.store.filters import Condition, in_category, marked, tagged
from trued.feed.store.tables import BookmarkRow, PaperRow, ReadRow


def of_query(query: Query, person: str, sqlite: bool) -> list[Condition]:
    """Return what a search requires and excludes, apart from the words that rank."""
    return [
        *(_clause(clause, person, sqlite) for clause in query.clauses),
        *(_holds(term, sqlite) for term in query.phrases),
        *(not_(_holds(term, sqlite)) for term in query.excluded),
    ]


def _clause(clause: Clause, person: str, sqlite: bool) -> Condition:
    condition = _plain_clause(clause.name, clause.value, person, sqlite)
    return not_(condition) if clause.negated else condition


def _plain_clause(name: str, value: str, person: str, sqlite: bool) -> Condition:
    if name == "author":
        return fulltext.matches(Term(tuple(words(value)), prefix=value.endswith("*")), sqlite, column="names")
    if name == "org":
        return func.lower(func.coalesce(PaperRow.organization, "")).contains(value, autoescape=True)
    if name == "cat":
        return in_category(value)
    if name == "tag":
        return tagged(value, person)
    if name == "has":
        return PaperRow.has_code.is_(True)
    if name == "year":
        first, last = years(value) or (1, 1)
        return and_(PaperRow.shown.is_not(None), PaperRow.shown.between(date(first, 1, 1), date(last, 12, 31)))
    if value == "bookmarked":
        return marked(BookmarkRow, person)
    read = marked(ReadRow, person)
    return read if value == "read" else not_(read)


def _holds(term: Term, sqlite: bool) -> Condition:
    if fulltext.unspaced(term):
        text = " ".join(term.words)
        return or_(PaperRow.title.contains(text, autoescape=True), PaperRow.abstract.contains(text, autoescape=True))
    return fulltext.matches(term, sqlite)
