"""One paper out of what several sources tell of it: when two entries are the same, and whose word counts.

Two entries are the same paper if they have the same arXiv id, or the same title without case, punctuation and TeX while
at most one of them has an id. Field by field, the source that knows it best is believed, and the newer word of the same
source replaces its older one; nothing known is ever replaced by nothing. What a person submitted fills gaps: it never
overrules what was fetched, and an id that only a person gave ends when the paper is fetched without one.

Knows entries and sources. Knows nothing of databases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import date, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from trued.feed.paper import FeedPaper, Link

SUBMITTED = "submitted"  # by a person, and fetched from nowhere
# Who is believed first. arXiv has what its authors wrote; Hugging Face copies that and adds what people did with it.
FACTS = ("arxiv", "huggingface", "bibtex", "page", "web", "card", SUBMITTED)
CROWD = ("huggingface", "page", "arxiv", "bibtex", "web", "card", SUBMITTED)
IDENTITY = {"arxiv", "doi"}
CROWD_FIELDS = {"upvotes", "comments", "organization", "rank", "submitted_by"}
UNIONS = {"links", "categories", "extra"}
APART = {"source", "date_inferred", "version"}  # they follow another field, or have a rule of their own

LONGEST_TITLE = 1_000
LONGEST_ABSTRACT = 50_000
MOST_AUTHORS = 5_000
FIRST_DAY = date(1900, 1, 1)
ARXIV = re.compile(r"\d{4}\.\d{4,5}|[a-z][a-z-]*(\.[A-Z]{2})?/\d{7}")
INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]"
)  # no text, and no XML, may contain them
NO_WORD = re.compile(r"[\W_]+")
MARKUP = re.compile(r"\\[a-zA-Z]+\s*|\\.|[{}$]")


@lru_cache(4096)
def title_key(title: str) -> str:
    """Return what is left of a title without case, diacritics, punctuation and TeX commands."""
    plain = unicodedata.normalize("NFKD", MARKUP.sub(lambda m: "" if len(m[0]) < 3 else " ", title)).casefold()
    if not plain.isascii():
        plain = "".join(c for c in plain if not unicodedata.combining(c))
    return NO_WORD.sub(" ", plain).strip()


def clean(paper: FeedPaper) -> FeedPaper:
    """Return the entry with its text on one line each, without control characters, and with http(s) links only."""
    return replace(
        paper,
        title=_line(paper.title),
        abstract=_line(paper.abstract),
        authors=tuple(
            replace(author, name=_line(author.name), affiliation=_line(author.affiliation) or None)
            for author in paper.authors
            if _line(author.name)
        ),
        organization=_line(paper.organization) or None,
        doi=_line(paper.doi) or None,
        journal=_line(paper.journal) or None,
        submitted_by=_line(paper.submitted_by) or None,
        categories=tuple(dict.fromkeys(filter(None, map(_line, paper.categories)))),
        links=tuple(link for link in paper.links if _on_the_web(link.url)),
        thumbnail=paper.thumbnail if paper.thumbnail and _on_the_web(paper.thumbnail) else None,
        extra=_plain(paper.extra),
    )


def flaw(paper: FeedPaper, today: date) -> str | None:
    """Return why a cleaned entry can't come in, as a sentence, or None."""
    if not title_key(paper.title):
        return f"the title {paper.title!r} has no letter and no digit; every paper needs a title"
    if len(paper.title) > LONGEST_TITLE:
        return f"the title has {len(paper.title):,} characters; at most {LONGEST_TITLE:,} are taken"
    if len(paper.abstract) > LONGEST_ABSTRACT:
        return f"the abstract has {len(paper.abstract):,} characters; at most {LONGEST_ABSTRACT:,} are taken"
    if len(paper.authors) > MOST_AUTHORS:
        return f"there are {len(paper.authors):,} authors; at most {MOST_AUTHORS:,} are taken"
    if paper.arxiv is not None and not ARXIV.fullmatch(paper.arxiv):
        return f"{paper.arxiv!r} is no arXiv id; expected one such as 2405.15589 or hep-th/9901001, without a version"
    if paper.published is not None and not FIRST_DAY <= paper.published <= today + timedelta(days=2):
        return f"the date {paper.published} is not between {FIRST_DAY} and the day after tomorrow ({today} is today)"
    for name in ("upvotes", "comments", "authors_count"):
        count = getattr(paper, name)
        if count is not None and not 0 <= count < 2**31:
            return f"{name} is {count}; expected a count from 0, or none where it is not known"
    return None


def same(known: FeedPaper, incoming: FeedPaper) -> bool:
    """True if both entries are of one paper."""
    if known.arxiv and incoming.arxiv:
        return known.arxiv == incoming.arxiv
    return title_key(known.title) == title_key(incoming.title)


def merge(
    known: FeedPaper, incoming: FeedPaper, origin: Mapping[str, str] | None = None
) -> tuple[FeedPaper, dict[str, str]]:
    """Return one entry out of what is known of a paper and what is told of it now.

    Args:
        known: what is known.
        incoming: what a source says now.
        origin: field → the source that `known` has it from; `known.source` for all fields if None.

    Returns:
        The merged entry, and where each of its fields comes from.
    """
    origin = dict(origin) if origin is not None else origins(known)
    values: dict[str, Any] = {}
    later = incoming.version is None or known.version is None or incoming.version >= known.version
    for name in (field.name for field in fields(FeedPaper)):
        old, new = getattr(known, name), getattr(incoming, name)
        if name in IDENTITY and (incoming.source == SUBMITTED) != (known.source == SUBMITTED):
            # Which paper it is, the fetched one alone says: a wrong id would draw another paper's facts into it.
            if known.source == SUBMITTED:
                values[name] = new
                origin |= {name: incoming.source}
                if _empty(new):
                    del origin[name]
            continue
        if name in APART or _empty(new):
            continue
        if new == old:  # the better of two that say the same vouches for it
            origin[name] = _first(name, [origin.get(name), incoming.source])
            if name == "published":
                values["date_inferred"] = known.date_inferred and incoming.date_inferred
            continue
        if name in UNIONS:
            values[name] = _union(old, new, incoming.source, _first(name, [origin.get(name), incoming.source]))
            origin[name] = _first(name, [origin.get(name), incoming.source])
        elif _empty(old) or _believed(name, known, incoming, origin.get(name), later):
            values[name], origin[name] = new, incoming.source
            if name == "published":
                values["date_inferred"] = incoming.date_inferred
    if incoming.version is not None and incoming.version > (known.version or 0):
        values["version"] = incoming.version
    sources = [known.source, incoming.source]
    values["source"] = _first("title", sources)
    return replace(known, **values), origin


def origins(paper: FeedPaper) -> dict[str, str]:
    """Return field → source for an entry that one source alone tells of."""
    return {
        field.name: paper.source
        for field in fields(FeedPaper)
        if field.name not in APART and not _empty(getattr(paper, field.name))
    }


def _believed(name: str, known: FeedPaper, incoming: FeedPaper, origin: str | None, later: bool) -> bool:
    """True if the new word on a field that is known already counts for more."""
    if (incoming.source == SUBMITTED) != (origin == SUBMITTED):
        return origin == SUBMITTED
    if name == "published" and known.date_inferred != incoming.date_inferred:
        return known.date_inferred
    ours, theirs = _grade(name, origin), _grade(name, incoming.source)
    return theirs < ours or (theirs == ours and later)


def _grade(name: str, source: str | None) -> int:
    order = CROWD if name in CROWD_FIELDS else FACTS
    return order.index(source) if source in order else len(order)


def _first(name: str, sources: Iterable[str | None]) -> str:
    return min((source for source in sources if source is not None), key=lambda source: _grade(name, source))


def _union(old: Any, new: Any, teller: str, first: str) -> Any:
    """Return both together: those of the source that is believed first in front, or on top."""
    front, back = (new, old) if teller == first else (old, new)
    if isinstance(front, Mapping):
        return {**back, **front}
    if front and isinstance(front[0], Link):
        return tuple({link.url: link for link in (*reversed(back), *reversed(front))}.values())[::-1]
    return tuple(dict.fromkeys((*front, *back)))


def _empty(value: Any) -> bool:
    return value is None or (not isinstance(value, bool | int) and not value)


def _line(text: str | None) -> str:
    return " ".join(INVISIBLE.sub(" ", text or "").split())


def _plain(value: Any) -> Any:
    """Return JSON data without characters that a database refuses."""
    if isinstance(value, str):
        return INVISIBLE.sub(" ", value)
    if isinstance(value, Mapping):
        return {INVISIBLE.sub(" ", str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    return _plain(str(value))


def _on_the_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not INVISIBLE.search(url)
