"""A paper of the feed, as a source tells of it: what may be missing stays missing.

Knows the fields that the sources share. Knows nothing of where they come from, how they are kept or shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

LinkKind = Literal["code", "project", "hub", "review", "other"]


@dataclass(frozen=True)
class Author:
    """One author, as the source writes the name.

    Args:
        hidden: the source hides this author (Hugging Face's `hidden`).
    """

    name: str
    hidden: bool = False
    affiliation: str | None = None


@dataclass(frozen=True)
class Link:
    """An address (http or https) that a paper gives, and what stands there."""

    url: str
    kind: LinkKind


@dataclass(frozen=True)
class FeedPaper:
    """A paper as one source tells of it; `None` or empty means that the source does not say, never zero.

    Args:
        arxiv: the arXiv id without its version: `2405.15589`, `hep-th/9901001`.
        version: the version of the arXiv id, where the source names one.
        date_inferred: the source left out a part of `published`, such as the year, and it was worked out.
        authors_count: how many authors there are, where the source gives the number instead of the names.
        comments: how many comments the source counted.
        source: `page`, `huggingface`, `arxiv`, `bibtex`, `web`, `card`, or `submitted` for what a person brought and
            nobody fetched.
        rank: the place in the source's own order, from 1.
        extra: what else the source said, under its own keys.
        thumbnail: the address of a picture of the paper, such as its main figure or its first page.
    """

    title: str
    abstract: str = ""
    arxiv: str | None = None
    version: int | None = None
    published: date | None = None
    date_inferred: bool = False
    authors: tuple[Author, ...] = ()
    authors_count: int | None = None
    organization: str | None = None
    upvotes: int | None = None
    comments: int | None = None
    categories: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    doi: str | None = None
    journal: str | None = None
    source: str = ""
    rank: int | None = None
    submitted_by: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    thumbnail: str | None = None
