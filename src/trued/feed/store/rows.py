"""A paper as a row and back, and the card that tells more of it.

Knows columns, the feed's dataclasses and the catalogue. Knows nothing of queries or transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any

from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.store.merge import title_key
from trued.feed.store.records import StoredPaper
from trued.feed.store.tables import PaperRow
from trued.feed.trending import trending
from trued.papers import catalogue

AS_THEY_ARE = (
    "title", "abstract", "arxiv", "version", "published", "date_inferred", "authors_count", "organization", "upvotes",
    "comments", "doi", "journal", "source", "rank", "submitted_by", "thumbnail",
)  # fmt: skip


def columns(paper: FeedPaper, origin: Mapping[str, str], day: date | None) -> dict[str, Any]:
    """Return the columns of an entry and what is worked out from it alone."""
    return {
        **{name: getattr(paper, name) for name in AS_THEY_ARE},
        "title_key": title_key(paper.title),
        "names": ", ".join(author.name for author in paper.authors),
        "authors": [_author(author) for author in paper.authors],
        "categories": list(paper.categories),
        "subjects": f" {' '.join(paper.categories)} ".lower() if paper.categories else "",
        "links": [[link.url, link.kind] for link in paper.links],
        "has_code": any(link.kind == "code" for link in paper.links),
        "extra": dict(paper.extra),
        "origin": dict(origin),
        "day": day,
        "shown": day or paper.published,
    }


def paper_of(row: PaperRow) -> FeedPaper:
    """Return the entry of a row."""
    return FeedPaper(
        **{name: getattr(row, name) for name in AS_THEY_ARE},
        authors=tuple(Author(**author) for author in row.authors),
        categories=tuple(row.categories),
        links=tuple(Link(url, kind) for url, kind in row.links),
        extra=row.extra,
    )


def stored(row: PaperRow, now: datetime) -> StoredPaper:
    """Return a row as the store hands it out."""
    return StoredPaper(
        uid=row.uid,
        paper=paper_of(row),
        slug=slug_of(row.arxiv, row.title_key),
        first_seen=row.first_seen,
        changed=row.changed,
        trending=trending(row.heat, now),
        votes=row.votes,
        remarks=row.remarks,
        day=row.day,
    )


def slug_of(arxiv: str | None, key: str) -> str | None:
    """Return the slug of the card with this arXiv id, else with this title, or None."""
    by_id, by_title = _cards()
    return by_id.get(arxiv or "") or by_title.get(key)


def ids_and_titles(slugs: set[str]) -> tuple[list[str], list[str]]:
    """Return the arXiv ids and the title keys by which papers belong to these cards."""
    by_id, by_title = _cards()
    return [id for id, slug in by_id.items() if slug in slugs], [key for key, s in by_title.items() if s in slugs]


@cache
def _cards() -> tuple[dict[str, str], dict[str, str]]:
    cards = catalogue.cards()
    by_id = {card.arxiv: slug for slug, card in cards.items() if card.arxiv}
    return by_id, {title_key(card.title): slug for slug, card in cards.items()}


def _author(author: Author) -> dict[str, Any]:
    """Return an author as JSON; what says nothing is left out, as it is so for most."""
    record: dict[str, Any] = {"name": author.name}
    if author.hidden:
        record["hidden"] = True
    if author.affiliation:
        record["affiliation"] = author.affiliation
    return record
