"""The page that trued began with, made from its cards: so that there is something to read before anything is fetched.

Abstracts are their authors' and are not shipped. In their place stand the cards' own summaries, until another source
brings the abstract.

Knows cards, and the order of the page. Knows nothing of stores or of the network.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from trued.feed.links import link, merged
from trued.feed.paper import FeedPaper
from trued.feed.sources.reading import Reading
from trued.papers import catalogue
from trued.papers.card import Card

PAGE = Path(__file__).parent / "seed" / "page.toml"


def shipped_page() -> Reading:
    """Return the papers of the page, in its order."""
    page = tomllib.loads(PAGE.read_text(encoding="utf-8"))
    papers = tuple(_paper(catalogue.card(slug), rank) for rank, slug in enumerate(page["papers"], start=1))
    # The page is a search's answer over three years, and not the listing of its day: `day` stays open.
    return Reading(papers, source=f"the page of {page['day']:%Y-%m-%d}")


def _paper(card: Card, rank: int) -> FeedPaper:
    return FeedPaper(
        title=card.title,
        abstract=" ".join(card.summary.split()),
        arxiv=card.arxiv,
        published=card.date,
        authors_count=card.authors,
        organization=card.organisation,
        comments=card.page_count,
        links=merged((link(card.code, "code"),)),
        source="card",
        rank=rank,
    )
