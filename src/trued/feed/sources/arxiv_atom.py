"""arXiv's Atom feed: what its API answers to a query.

The API has its own ways of saying that something went wrong: a bad parameter is answered with success and one entry
titled "Error", and too many requests with the plain text "Rate exceeded.".

Knows the feed's elements. Knows nothing of addresses, paging or waiting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from trued.errors import InputError
from trued.feed.identifiers import arxiv_id, doi, first_doi
from trued.feed.links import link, links_in, merged
from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.sources.reading import Reading, day_of, html_text, is_name, one_line
from trued.feed.store.records import Refusal

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST = 20 << 20  # bytes
_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
_BUSY = re.compile(rb"\s*rate exceeded", re.IGNORECASE)
_ARXIV_PAGE = re.compile(r"https?://(?:[\w-]+\.)?arxiv\.org/", re.IGNORECASE)


@dataclass(frozen=True)
class AtomPage:
    """One page of answers: its papers, and how many there are in all, where the feed tells."""

    reading: Reading
    total: int | None


def busy(answer: bytes) -> bool:
    """True if arXiv answers that it was asked too often."""
    return _BUSY.match(answer) is not None


def parse_arxiv_atom(answer: bytes) -> AtomPage:
    """Read a feed. External entities and document types are refused, whatever they contain.

    Raises:
        InputError: too many requests, an error told by the API, or bytes that are no Atom feed.
    """
    if busy(answer):
        raise InputError("arXiv answers 'Rate exceeded.': wait a minute, and ask again")
    if len(answer) > LARGEST:
        raise InputError(f"the feed has {len(answer):,} bytes; at most {LARGEST:,} are read: ask for fewer papers")
    root = _root(answer)
    if root.tag != f"{_ATOM}feed":
        raise InputError(f"the XML is a <{root.tag.rpartition('}')[2]}>; expected an Atom <feed>")
    entries = root.findall(f"{_ATOM}entry")
    if len(entries) == 1 and _text(entries[0], "title") == "Error":
        raise InputError(f"arXiv refuses the request: {_text(entries[0], 'summary') or 'no reason given'}")
    papers: list[FeedPaper] = []
    refused: list[Refusal] = []
    for place, entry in enumerate(entries, start=1):
        if _text(entry, "title"):
            papers.append(_paper(entry))
        else:
            refused.append(Refusal(f"entry {place} {_text(entry, 'id')}".strip(), "it has no title"))
    total = root.findtext(f"{_SEARCH}totalResults", "").strip()
    reading = Reading(tuple(papers), tuple(refused), source="arXiv")
    return AtomPage(reading, int(total) if total.isdecimal() and len(total) < 12 else None)


def _root(answer: bytes) -> Element:
    # Two libraries that parse the same: this one stops at entities, which may read files or fill the memory.
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(answer, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:
        if isinstance(error, DefusedXmlException):
            raise InputError("the XML declares a document type or entities, which no feed needs; not read") from None
        raise InputError(f"this is no whole XML ({error}); expected an Atom feed, perhaps it was cut off") from None


def _paper(entry: Element) -> FeedPaper:
    identity = _text(entry, "id")
    arxiv = arxiv_id(identity)
    abstract = _text(entry, "summary") or _text(entry, "content")
    comment = one_line(entry.findtext(f"{_ARXIV}comment"))
    primary = entry.find(f"{_ARXIV}primary_category")
    categories = [part.get("term", "") for part in (primary, *entry.findall(f"{_ATOM}category")) if part is not None]
    extra = {"comment": comment, "updated": _text(entry, "updated"), "id": "" if arxiv else identity}
    return FeedPaper(
        title=_text(entry, "title"),
        abstract=abstract,
        arxiv=arxiv[0] if arxiv else None,
        version=arxiv[1] if arxiv else None,
        published=day_of(_text(entry, "published")) or (None if arxiv else day_of(_text(entry, "updated"))),
        authors=tuple(author for part in entry.findall(f"{_ATOM}author") if (author := _author(part))),
        categories=tuple(dict.fromkeys(filter(None, map(str.strip, categories)))),
        links=merged(_links(entry), links_in(comment), links_in(abstract)),
        doi=first_doi(entry.findtext(f"{_ARXIV}doi", "")),
        journal=one_line(entry.findtext(f"{_ARXIV}journal_ref")) or None,
        source="arxiv",
        extra={key: value for key, value in extra.items() if value},
    )


def _author(part: Element) -> Author | None:
    name = _text(part, "name")
    places = [one_line(place.text) for place in part.findall(f"{_ARXIV}affiliation")]
    return Author(name, affiliation="; ".join(filter(None, places)) or None) if is_name(name) else None


def _links(entry: Element) -> tuple[Link | None, ...]:
    """Return the addresses that an entry links to, except those that follow from an arXiv id or a DOI anyway."""
    urls = [part.get("href", "") for part in entry.findall(f"{_ATOM}link") if part.get("rel", "alternate") != "self"]
    return tuple(link(url) for url in urls if not _ARXIV_PAGE.match(url) and doi(url) is None)


def _text(part: Element, name: str) -> str:
    """Return a text construct (RFC 4287, Section 3.1) as plain text: text, escaped HTML, or XHTML."""
    child = part.find(f"{_ATOM}{name}")
    if child is None:
        return ""
    text = "".join(child.itertext())
    if child.get("type", "text").lower() in ("html", "text/html"):
        text = html_text(text)
    return one_line(text)
