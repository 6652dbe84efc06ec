"""What must hold of a paper, as SQL: filters, fields of a search, phrases and exclusions.

Knows filters, queries and tables. Knows nothing of ranking.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, get_args

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, true

from trued.errors import InputError, nearest
from trued.feed.search import fulltext
from trued.feed.search.query import Clause, Query, Term, words, years
from trued.feed.store.people import tag_name
from trued.feed.store.records import Filters, Verdicts
from trued.feed.store.rows import ids_and_titles
from trued.feed.store.tables import BookmarkRow, PaperRow, ReadRow, TagRow
from trued.papers import catalogue
from trued.papers.card import Field

Condition = ColumnElement[bool]


def of_filters(filters: Filters, person: str, verdicts: Verdicts | None) -> list[Condition]:
    """Return what the filters ask for.

    Raises:
        InputError: a field, state or verdict that there is not; or verdicts are not to be had here.
    """
    found: list[Condition] = []
    if filters.since is not None:
        found.append(PaperRow.shown >= filters.since)
    if filters.until is not None:
        found.append(PaperRow.shown <= filters.until)
    if filters.field is not None:
        _one_of(filters.field, get_args(Field), "field")
        found.append(_of_cards(slug for slug, card in catalogue.cards().items() if card.field == filters.field))
    if filters.state is not None:
        _one_of(filters.state, get_args(catalogue.State), "state")
        found.append(_of_cards(slug for slug in catalogue.slugs() if catalogue.state(slug) == filters.state))
    if filters.verdict is not None:
        if verdicts is None:
            raise InputError(f"verdict {filters.verdict!r}: this store was opened without verdicts; pass `verdicts`")
        _one_of(filters.verdict, ("supported", "contradicted", "inconclusive"), "verdict")
        found.append(_of_cards(slug for slug, words in verdicts().items() if filters.verdict in words))
    if filters.tag is not None:
        found.append(_tagged(filters.tag, person))
    if filters.unread_by is not None:
        found.append(not_(_marked(ReadRow, filters.unread_by)))
    if filters.has_code:
        found.append(PaperRow.has_code.is_(True))
    if filters.min_upvotes is not None:
        found.append(PaperRow.popularity >= filters.min_upvotes)
    if filters.arrived_since is not None:
        found.append(PaperRow.first_seen >= filters.arrived_since)
    if filters.arrived_before is not None:
        found.append(PaperRow.first_seen < filters.arrived_before)
    return found


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
        return or_(*(PaperRow.subjects.contains(f" {value}{end}", autoescape=True) for end in (" ", ".")))
    if name == "tag":
        return _tagged(value, person)
    if name == "has":
        return PaperRow.has_code.is_(True)
    if name == "year":
        first, last = years(value) or (1, 1)
        return and_(PaperRow.shown.is_not(None), PaperRow.shown.between(date(first, 1, 1), date(last, 12, 31)))
    if value == "bookmarked":
        return _marked(BookmarkRow, person)
    read = _marked(ReadRow, person)
    return read if value == "read" else not_(read)


def _holds(term: Term, sqlite: bool) -> Condition:
    if fulltext.unspaced(term):
        text = " ".join(term.words)
        return or_(PaperRow.title.contains(text, autoescape=True), PaperRow.abstract.contains(text, autoescape=True))
    return fulltext.matches(term, sqlite)


def _of_cards(slugs: Iterable[str]) -> Condition:
    ids, titles = ids_and_titles(set(slugs))
    return or_(PaperRow.arxiv.in_(ids), PaperRow.title_key.in_(titles)) if ids or titles else false()


def _tagged(tag: str, person: str) -> Condition:
    try:
        name = tag_name(tag)
    except InputError:  # no paper can have this tag
        return false()
    return exists().where(TagRow.uid == PaperRow.uid, TagRow.person == person, TagRow.tag == name)


def _marked(table: Any, person: str) -> Condition:
    return exists().where(table.uid == PaperRow.uid, table.person == person)


def _one_of(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise InputError(f"no {what} is named {value!r}{nearest(value, known)} (there are {', '.join(known)})")


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the conditions as one."""
    return and_(true(), *conditions)
