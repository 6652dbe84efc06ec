"""JSON Lines in the shape of Hugging Face's daily papers, so that what reads those reads these.

Knows that shape. Knows nothing of stores or of other formats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trued.feed.dates import date_text, precision
from trued.feed.paper import FeedPaper
from trued.feed.reference import code
from trued.feed.store.records import StoredPaper


def to_jsonl(papers: Sequence[StoredPaper]) -> str:
    """Return papers, one a line."""
    return "".join(json.dumps(item(stored), ensure_ascii=False) + "\n" for stored in papers)


def item(stored: StoredPaper) -> dict[str, Any]:
    """Return one paper as an item of a daily listing: what is told of the paper inside, the listing's own outside.

    Hidden authors are marked and have no name here. What is not known has no key.
    """
    paper = stored.paper
    inner = {
        "id": paper.arxiv,
        "title": paper.title,
        "summary": paper.abstract,
        "authors": [_author(author.name, author.hidden) for author in paper.authors],
        "publishedAt": _moment(paper),
        "submittedOnDailyAt": f"{stored.day.isoformat()}T00:00:00.000Z" if stored.day else None,
        "upvotes": _count(paper.upvotes, stored.votes),
        "githubRepo": code(paper),
        "projectPage": next((link.url for link in paper.links if link.kind == "project"), None),
        "doi": paper.doi,
        "journal": paper.journal,
        "categories": list(paper.categories),
        "authorsCount": paper.authors_count,
    }
    outer = {
        "paper": _known(inner),
        "title": paper.title,
        "summary": paper.abstract,
        "publishedAt": _moment(paper),
        "published": None if precision(paper) == "day" else date_text(paper),
        "numComments": _count(paper.comments, stored.remarks),
        "organization": {"name": paper.organization} if paper.organization else None,
        "thumbnail": paper.thumbnail,
        "submittedBy": {"name": paper.submitted_by} if paper.submitted_by else None,
        "trued": stored.slug,
    }
    return _known(outer)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", [])}


def _moment(paper: FeedPaper) -> str | None:
    return f"{paper.published.isoformat()}T00:00:00.000Z" if paper.published and precision(paper) == "day" else None


def _count(reported: int | None, here: int) -> int | None:
    return (reported or 0) + here if reported is not None or here else None


def _author(name: str, hidden: bool) -> dict[str, Any]:
    return {"name": "", "hidden": True} if hidden else {"name": name}
