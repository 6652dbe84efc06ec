"""Markdown: a list of papers with links, for notes, issues and mails.

Knows Markdown's special characters. Knows nothing of stores or of other formats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from trued.feed.dates import date_text
from trued.feed.reference import address, byline, code
from trued.feed.store.records import StoredPaper

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def to_markdown(papers: Sequence[StoredPaper]) -> str:
    """Return papers as a list, one a line; text from a feed is escaped, so that none of it is markup."""
    return "".join(_line(stored) + "\n" for stored in papers)


def _line(stored: StoredPaper) -> str:
    paper = stored.paper
    title, url = _text(paper.title), address(paper)
    parts = [f"[{title}]({_url(url)})" if url else title]
    parts += [_text(byline(paper)), date_text(paper)]
    if code_url := code(paper):
        parts.append(f"[code]({_url(code_url)})")
    if stored.slug:
        parts.append(f"`trued papers show {stored.slug}`")
    return "- " + " · ".join(part for part in parts if part)


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _url(url: str) -> str:
    return quote(url, safe=":/?#@!$&'*+,;=%~-._")
