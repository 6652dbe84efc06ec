"""RIS, as EndNote, Mendeley and Zotero read it: two letters, two blanks, a hyphen, a value, a line.

Knows tags. Knows nothing of stores or of other formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trued.feed.dates import date_text
from trued.feed.export.names import parse_name
from trued.feed.export.publication import publication
from trued.feed.paper import FeedPaper
from trued.feed.reference import address, code, names
from trued.feed.store.records import StoredPaper

_TYPES = {"article": "JOUR", "proceedings": "CPAPER", "preprint": "UNPB"}


def to_ris(papers: Sequence[StoredPaper]) -> str:
    """Return papers as a RIS file; its lines end as the format wants it, in CR and LF."""
    lines = []
    for stored in papers:
        lines += [f"{tag}  - {' '.join(value.split())}".rstrip() for tag, value in _fields(stored.paper) if value]
        lines += ["ER  - ", ""]
    return "\r\n".join((*lines, ""))


def _fields(paper: FeedPaper) -> Iterator[tuple[str, str]]:
    venue = publication(paper)
    yield "TY", _TYPES[venue.kind]
    yield "TI", paper.title
    for name in names(paper):
        yield "AU", parse_name(name).inverted
    yield "PY", str(venue.year or "")
    if known := date_text(paper):
        # Year, month, day and other information; the slashes stand where a part is unknown.
        year, month, day = [*known.split("-"), "", ""][:3]
        yield "DA", f"{year}/{month}/{day}" if month else ""
    yield ("T2", venue.where) if venue.where else ("PB", "arXiv" if paper.arxiv else "")
    yield "M1", f"arXiv:{paper.arxiv}" if paper.arxiv else ""
    yield "AB", paper.abstract
    yield from (("KW", category) for category in paper.categories)
    yield "DO", paper.doi or ""
    yield "UR", address(paper) or ""
    yield "L2", code(paper) or ""
