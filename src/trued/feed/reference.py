"""How a paper is pointed to: its address, a name for it that never changes, and who wrote it.

Knows what a paper says of itself. Knows nothing of stores, formats or pages.
"""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID, uuid5

from trued.feed.paper import FeedPaper
from trued.feed.store.merge import title_key

# The namespace of the names below. It must stay: with another, every reader would show every paper as new.
_NAMESPACE = UUID("0f3a1f4e-6a3c-5d0b-9a55-6e1d0c6b7f21")


def address(paper: FeedPaper) -> str | None:
    """Return where the paper is read: on arXiv, by its DOI, or at the first link that is not code; None if unknown."""
    if paper.arxiv:
        return f"https://arxiv.org/abs/{paper.arxiv}"
    if paper.doi:
        return f"https://doi.org/{quote(paper.doi, safe='/:;()')}"
    return next((link.url for link in paper.links if link.kind in ("review", "project", "other")), None)


def code(paper: FeedPaper) -> str | None:
    """Return the first link to the paper's code, or None."""
    return next((link.url for link in paper.links if link.kind == "code"), None)


def permanent_id(paper: FeedPaper) -> str:
    """Return a URN that is the same in every store and after every restart: of the arXiv id, the DOI, or the title."""
    if paper.arxiv:
        name = f"arxiv:{paper.arxiv}"
    elif paper.doi:
        name = f"doi:{paper.doi.lower()}"
    else:
        name = f"title:{title_key(paper.title)}"
    return uuid5(_NAMESPACE, name).urn


def names(paper: FeedPaper) -> list[str]:
    """Return the authors' names, without those that asked not to be shown."""
    return [author.name for author in paper.authors if not author.hidden]


def byline(paper: FeedPaper, most: int = 3) -> str:
    """Return who wrote it in one phrase: names, else the organisation, else how many; "" if nothing is known."""
    known = names(paper)
    if known:
        hidden = len(paper.authors) - len(known)
        cut = hidden or len(known) > most
        return ", ".join(known[:most]) + (" and others" if cut else "")
    if paper.organization:
        return paper.organization
    count = paper.authors_count or len(paper.authors)
    return f"{count} author{'s' if count != 1 else ''}" if count else ""
