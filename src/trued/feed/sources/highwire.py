"""A paper's own web page, by the `citation_…` tags that publishers put there for scholarly search engines.

arXiv, OpenReview, the ACL Anthology and most publishers write them; reference managers read the same ones.

Knows the tags. Knows nothing of the rest of a page, and runs nothing of it.
"""

from __future__ import annotations

from html.parser import HTMLParser

from trued.errors import InputError
from trued.feed.dates import note, reduced
from trued.feed.identifiers import arxiv_id, first_doi
from trued.feed.links import link, links_in, merged
from trued.feed.paper import Author, FeedPaper
from trued.feed.sources.reading import is_name, one_line, without_markup

_WITHIN = 2_000_000  # characters of a page; its tags stand in its head
_MOST = 5_000  # tags
_DATES = ("citation_publication_date", "citation_date", "citation_online_date", "citation_cover_date")
_VENUES = ("citation_journal_title", "citation_conference_title", "citation_conference")


def parse_highwire(html: str, url: str | None = None) -> FeedPaper:
    """Read the paper that a page is of.

    Args:
        html: the page.
        url: its address, which becomes a link.

    Raises:
        InputError: the page does not say of which paper it is.
    """
    tags = _Tags()
    tags.feed(html[:_WITHIN])
    title = tags.first("citation_title")
    if not title:
        raise InputError(
            "this page does not say which paper it is of (no citation_title tag); give the paper's arXiv id or DOI"
        )
    abstract = tags.first("citation_abstract", "dc.description", "dcterms.abstract")
    arxiv = arxiv_id(tags.first("citation_arxiv_id")) or (arxiv_id(url) if url else None)
    known = reduced(tags.first(*_DATES))
    return FeedPaper(
        title=title,
        abstract=abstract,
        arxiv=arxiv[0] if arxiv else None,
        version=arxiv[1] if arxiv else None,
        published=known[0] if known else None,
        date_inferred=known is not None and known[1] != "day",
        authors=tuple(tags.authors),
        links=merged((link(url) if url and not arxiv else None,), links_in(abstract)),
        doi=first_doi(tags.first("citation_doi", "dc.identifier")),
        journal=tags.first(*_VENUES) or None,
        source="web",
        extra=note(known),
    )


class _Tags(HTMLParser):
    """Collects a page's meta tags. An affiliation belongs to the author named before it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.values: dict[str, str] = {}
        self.authors: list[Author] = []
        self._seen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta" or self._seen >= _MOST:
            return
        self._seen += 1
        attributes = dict(attrs)
        name = (attributes.get("name") or attributes.get("property") or "").lower()
        value = one_line(without_markup(attributes.get("content") or ""))
        if not value:
            return
        if name == "citation_author":
            if is_name(value):
                self.authors.append(Author(_in_order(value)))
        elif name == "citation_author_institution" and self.authors:
            last = self.authors[-1]
            places = "; ".join(filter(None, (last.affiliation, value)))
            self.authors[-1] = Author(last.name, affiliation=places)
        else:
            self.values.setdefault(name, value)

    def first(self, *names: str) -> str:
        return next((value for name in names if (value := self.values.get(name))), "")


def _in_order(name: str) -> str:
    """Return a name as it is spoken: "Last, First" becomes "First Last"."""
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma and ", " not in first else name
