"""What filters ask of a paper, as SQL.

Knows filters and tables. Knows nothing of searches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from sqlalchemy import ColumnElement, exists, false, not_, or_

from trued.errors import InputError, nearest
from trued.feed.store.people import tag_name
from trued.feed.store.records import Filters, Verdicts
from trued.feed.store.rows import ids_and_titles
from trued.feed.store.tables import PaperRow, ReadRow, TagRow
from trued.papers import catalogue
from trued.papers.card import Field

Condition = ColumnElement[bool]


def of_filters(filters: Filters, person: str, verdicts: Verdicts | None) -> list[Condition]:
    """Return the filters as conditions.

    Raises:
        InputError: a field, state or verdict that there is not; or verdicts are not available here.
    """
    conditions: list[Condition] = []
    if filters.since is not None:
        conditions.append(PaperRow.shown >= filters.since)
    if filters.until is not None:
        conditions.append(PaperRow.shown <= filters.until)
    if filters.field is not None:
        _one_of(filters.field, get_args(Field), "field")
        conditions.append(_of_cards(slug for slug, card in catalogue.cards().items() if card.field == filters.field))
    if filters.state is not None:
        _one_of(filters.state, get_args(catalogue.State), "state")
        conditions.append(_of_cards(slug for slug in catalogue.slugs() if catalogue.state(slug) == filters.state))
    if filters.verdict is not None:
        if verdicts is None:
            raise InputError(f"verdict {filters.verdict!r}: this store was opened without verdicts; pass `verdicts`")
        _one_of(filters.verdict, ("supported", "contradicted", "inconclusive"), "verdict")
        conditions.append(_of_cards(slug for slug, words in verdicts().items() if filters.verdict in words))
    if filters.tag is not None:
        conditions.append(tagged(filters.tag, person))
    if filters.unread_by is not None:
        conditions.append(not_(marked(ReadRow, filters.unread_by)))
    if filters.has_code:
        conditions.append(PaperRow.has_code.is_(True))
    if filters.category is not None:
        conditions.append(in_category(filters.category))
    if filters.min_upvotes is not None:
        conditions.append(PaperRow.popularity >= filters.min_upvotes)
    if filters.arrived_since is not None:
        conditions.append(PaperRow.first_seen >= filters.arrived_since)
    if filters.arrived_before is not None:
        conditions.append(PaperRow.first_seen < filters.arrived_before)
    return conditions


def _of_cards(slugs: Iterable[str]) -> Condition:
    ids, titles = ids_and_titles(set(slugs))
    return or_(PaperRow.arxiv.in_(ids), PaperRow.title_key.in_(titles)) if ids or titles else false()


def in_category(category: str) -> Condition:
    """Return that a paper is in one of arXiv's categories, or in one below it: "cs" includes "cs.CL"."""
    name = category.strip().lower()
    return or_(*(PaperRow.subjects.contains(f" {name}{end}", autoescape=True) for end in (" ", ".")))


def tagged(tag: str, person: str) -> Condition:
    """Return that a paper bears a person's tag; none does if no tag can be written so."""
    try:
        name = tag_name(tag)
    except InputError:  # no paper can have this tag
        return false()
    return exists().where(TagRow.uid == PaperRow.uid, TagRow.person == person, TagRow.tag == name)


def marked(table: Any, person: str) -> Condition:
    """Return that a person's mark of one kind is on a paper."""
    return exists().where(table.uid == PaperRow.uid, table.person == person)


def _one_of(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise InputError(f"no {what} is named {value!r}{nearest(value, known)} (there are {', '.join(known)})")
