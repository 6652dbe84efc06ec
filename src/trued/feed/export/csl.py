"""CSL-JSON, as pandoc, Zotero and citation processors read it.

Knows the schema's types and variables. Knows nothing of stores or of other formats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trued.feed.dates import date_text
from trued.feed.export.keys import citation_keys
from trued.feed.export.names import parse_name
from trued.feed.export.publication import publication
from trued.feed.paper import FeedPaper
from trued.feed.reference import address, names
from trued.feed.store.records import StoredPaper

_TYPES = {"article": "article-journal", "proceedings": "paper-conference", "preprint": "article"}


def to_csl(papers: Sequence[StoredPaper]) -> str:
    """Return papers as a list of CSL-JSON items."""
    items = [item(stored.paper, key) for stored, key in zip(papers, citation_keys(papers), strict=True)]
    return json.dumps(items, indent=2, ensure_ascii=False) + "\n"


def item(paper: FeedPaper, key: str) -> dict[str, Any]:
    """Return one paper as a CSL-JSON item; a preprint is an `article`, as the specification has it."""
    venue, day = publication(paper), paper.published
    # The day is the preprint's; of a publication in another year only the year is known.
    exact = [int(part) for part in date_text(paper).split("-")] if day and day.year == venue.year else [venue.year]
    values = {
        "id": key,
        "type": _TYPES[venue.kind],
        "title": paper.title,
        "author": [_name(name) for name in names(paper)],
        "issued": {"date-parts": [exact]} if venue.year else None,
        "container-title": venue.where,
        "abstract": paper.abstract,
        "DOI": paper.doi,
        "URL": address(paper),
        "number": f"arXiv:{paper.arxiv}" if paper.arxiv else None,
        "publisher": "arXiv" if paper.arxiv and not venue.where else None,
        "keyword": ", ".join(paper.categories),
    }
    return {name: value for name, value in values.items() if value}


def _name(text: str) -> dict[str, str]:
    name = parse_name(text)
    if not name.given:
        return {"literal": text}
    parts = {
        "family": name.family, "given": name.given, "non-dropping-particle": name.particle, "suffix": name.suffix,
    }  # fmt: skip
    return {part: value for part, value in parts.items() if value}
