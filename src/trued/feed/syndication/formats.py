"""Papers as feeds that readers subscribe to: Atom 1.0, RSS 2.0, JSON Feed 1.1, and OPML for a list of such feeds.

Knows formats, ids and dates. Knows nothing of where a feed is served. The same papers give the same bytes, so that a
feed can be known by its hash: an entry says nothing that changes without its paper changing, such as upvotes, and no
feed says when it was written. An empty period is an empty feed, and a valid one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree

from markupsafe import escape

from trued import __version__
from trued.feed.reference import address, byline, code, names, permanent_id
from trued.feed.store.merge import INVISIBLE
from trued.feed.store.records import SavedQuery, StoredPaper

Syntax = Literal["atom", "rss", "json"]
MEDIA_TYPES: dict[Syntax, str] = {
    "atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json",
}  # fmt: skip
START = datetime(2020, 1, 1, tzinfo=UTC)  # when a feed that never had a paper last changed


@dataclass(frozen=True)
class Channel:
    """What a feed says of itself.

    Args:
        title: shown by readers.
        home: the page that shows the same papers.
        address: of the feed itself, or None for a file whose place is not known.
    """

    title: str
    home: str
    address: str | None = None
    description: str = "Papers, their claims, and which of them run here."

    @property
    def id(self) -> str:
        """A name that stays: the feed's address, or one made of what it shows."""
        return self.address or uuid5(NAMESPACE_URL, f"{self.home}\n{self.title}").urn


@dataclass(frozen=True)
class Rendered:
    """A feed, and how it is known to those who have it already.

    Args:
        modified: the last change of one of its papers.
    """

    body: bytes
    media_type: str
    modified: datetime

    @property
    def etag(self) -> str:
        """The strong validator of HTTP (RFC 9110, Section 8.8.3), of the bytes."""
        return f'"{sha256(self.body).hexdigest()[:32]}"'


def render(papers: Sequence[StoredPaper], channel: Channel, syntax: Syntax) -> Rendered:
    """Return papers as a feed, in their order."""
    modified = max((stored.changed for stored in papers), default=START).replace(microsecond=0)
    body = _json(papers, channel) if syntax == "json" else _xml(papers, channel, syntax, modified)
    return Rendered(body, MEDIA_TYPES[syntax], modified)


def opml(queries: Iterable[SavedQuery], base: str, title: str = "Daily papers") -> str:
    """Return saved searches as OPML 2.0, each the Atom feed of its search, for a feed reader to import.

    Args:
        base: the page's address, without a slash at its end.
    """
    root = ElementTree.Element("opml", version="2.0")
    ElementTree.SubElement(ElementTree.SubElement(root, "head"), "title").text = _legal(title)
    body = ElementTree.SubElement(root, "body")
    for query in queries:
        parameters = urlencode({"q": query.q})
        name = _legal(query.name)
        ElementTree.SubElement(
            body, "outline", type="rss", text=name, title=name,
            xmlUrl=f"{base}/feed.atom?{parameters}", htmlUrl=f"{base}/search?{parameters}",
        )  # fmt: skip
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(papers: Sequence[StoredPaper], channel: Channel, syntax: Syntax, modified: datetime) -> bytes:
    from feedgen.feed import FeedGenerator

    feed: Any = FeedGenerator()
    feed.load_extension("dc", atom=False)
    feed.id(_legal(channel.id))
    feed.title(_legal(channel.title))
    # RSS takes the last link for the channel's, so the page comes after the feed itself.
    if channel.address:
        feed.link(href=channel.address, rel="self", type=MEDIA_TYPES[syntax])
    feed.link(href=channel.home, rel="alternate", type="text/html")
    feed.description(_legal(channel.description))
    feed.author({"name": "trued"})
    feed.generator("trued", version=__version__)
    feed.updated(modified)
    feed.lastBuildDate(modified)
    for stored in papers:
        _entry(feed.add_entry(order="append"), stored, channel, syntax)
    return feed.atom_str(pretty=True) if syntax == "atom" else feed.rss_str(pretty=True)


def _entry(entry: Any, stored: StoredPaper, channel: Channel, syntax: Syntax) -> None:
    paper = stored.paper
    entry.id(permanent_id(paper))
    entry.guid(permanent_id(paper), permalink=False)
    entry.title(_legal(paper.title) or "untitled")
    entry.link(href=address(paper) or channel.home)
    entry.published(_published(stored))
    entry.updated(stored.changed.replace(microsecond=0))
    # Atom wants an author of every entry, and would take the feed's own where there is none.
    for name in _authors(stored) or ["unknown"]:
        entry.author({"name": name})
        entry.dc.dc_creator(name, replace=False)
    if paper.categories:
        entry.category([{"term": _legal(category)} for category in paper.categories])
    summary = _legal(paper.abstract) or "No abstract is known."
    # Atom's summary is plain text. RSS has no such thing: readers take a description for HTML.
    entry.summary(summary if syntax == "atom" else str(escape(summary)))
    entry.content(_html(stored), type="html")


def _html(stored: StoredPaper) -> str:
    """Return the abstract, and below it where code is and how to run it here; everything from a source is escaped."""
    paper = stored.paper
    parts = [f"<p>{escape(byline(paper))}</p>"] if byline(paper) else []
    parts += [f"<p>{escape(paper.abstract)}</p>"] if paper.abstract else []
    if code_url := code(paper):
        parts.append(f'<p><a href="{escape(code_url)}">Code</a></p>')
    if stored.slug:
        parts.append(f"<p><code>trued papers show {escape(stored.slug)}</code></p>")
    return _legal("".join(parts)) or "<p>No abstract is known.</p>"


def _json(papers: Sequence[StoredPaper], channel: Channel) -> bytes:
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": channel.title,
        "home_page_url": channel.home,
        "feed_url": channel.address,
        "description": channel.description,
        "authors": [{"name": "trued"}],
        "items": [_item(stored, channel) for stored in papers],
    }
    if channel.address is None:
        del feed["feed_url"]
    return (json.dumps(feed, ensure_ascii=False, indent=2) + "\n").encode()


def _item(stored: StoredPaper, channel: Channel) -> dict[str, Any]:
    paper = stored.paper
    values = {
        "id": permanent_id(paper),
        "url": address(paper) or channel.home,
        "external_url": code(paper),
        "title": paper.title,
        "content_html": _html(stored),
        "summary": paper.abstract,
        "date_published": _published(stored).isoformat(),
        "date_modified": stored.changed.replace(microsecond=0).isoformat(),
        "authors": [{"name": name} for name in _authors(stored)],
        "tags": list(paper.categories),
    }
    return {key: value for key, value in values.items() if value}


def _authors(stored: StoredPaper) -> list[str]:
    """Return the names, else the organisation or how many they are, in one entry."""
    return [_legal(name) for name in names(stored.paper) or [byline(stored.paper)] if _legal(name).strip()]


def _published(stored: StoredPaper) -> datetime:
    day = stored.paper.published
    return datetime.combine(day, time(), UTC) if day else stored.first_seen.replace(microsecond=0)


def _legal(text: str) -> str:
    """Return a text without the characters that no XML may contain."""
    return INVISIBLE.sub("", text)
