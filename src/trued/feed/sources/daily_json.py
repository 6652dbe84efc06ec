"""Hugging Face's JSON of daily papers: a day's listing, a search, or one paper.

A listing's items are two objects, one in the other, that tell partly the same; a search's items are flat. A value is
looked for outside first and inside then, and only a missing one is passed over: no upvotes are not unknown upvotes.

Knows the JSON's shapes. Knows nothing of addresses or paging, and changes nothing that it is given.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from trued.errors import InputError
from trued.feed.dates import note, reduced
from trued.feed.identifiers import arxiv_id, first_doi
from trued.feed.links import link, links_in, merged
from trued.feed.paper import Author, FeedPaper
from trued.feed.sources.reading import Reading, day_of, is_name, one_line, without
from trued.feed.store.records import Refusal
from trued.texts import decoded, read_json

_OWN = frozenset({"authorsCount", "journal", "published", "trued"})  # what trued's own export of this shape adds
_USED = _OWN | frozenset({
    "paper", "id", "title", "summary", "authors", "publishedAt", "upvotes", "numComments", "githubRepo", "projectPage",
    "organization", "submittedBy", "submittedOnDailyBy", "doi", "categories", "thumbnail",
})  # fmt: skip


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")  # of the media; the others are films


def parse_daily_json(answer: bytes | str | list[Any] | Mapping[str, Any]) -> Reading:
    """Read the items of a listing or a search, or the one paper of a paper's own address.

    Args:
        answer: JSON, or what `json.loads` made of it.

    Raises:
        InputError: no JSON, or JSON of another shape than a list of objects or an object.
    """
    if isinstance(answer, bytes | str):
        try:
            answer = read_json(answer if isinstance(answer, str) else decoded(answer), halves="replace")
        except InputError as error:
            raise InputError(f"this is no JSON ({error}); expected the list that /api/daily_papers answers") from None
    if isinstance(answer, Mapping):
        if "error" in answer and not one_line(answer.get("title")):
            raise InputError(f"the answer is an error, {one_line(str(answer['error']))!r}, and not a list of papers")
        answer = [answer]
    if not isinstance(answer, list):
        raise InputError(f"the JSON is a {type(answer).__name__}; expected a list of papers, or one paper")
    papers: list[FeedPaper] = []
    refused: list[Refusal] = []
    for place, item in enumerate(answer, start=1):
        try:
            papers.append(parse_item(item, rank=place if len(answer) > 1 else None))
        except InputError as error:
            refused.append(Refusal(f"entry {place}", str(error)))
    return Reading(tuple(papers), tuple(refused), source="Hugging Face")


def parse_item(item: Any, rank: int | None = None) -> FeedPaper:
    """Read one item of a listing or a search, or one paper.

    Raises:
        InputError: it is no object, or has no title.
    """
    if not isinstance(item, Mapping):
        raise InputError(f"a paper is a JSON object with at least a title, and this is a {type(item).__name__}")
    inner = item.get("paper")
    if isinstance(inner, Mapping):
        item = {**inner, **{key: value for key, value in item.items() if value is not None}}
    title = one_line(item.get("title"))
    if not title:
        raise InputError("it has no title")
    summary = one_line(item.get("summary"))
    identity = item.get("id")
    arxiv = arxiv_id(identity) if isinstance(identity, str) else None
    submitter = item.get("submittedBy") or item.get("submittedOnDailyBy")
    day, told = day_of(item.get("publishedAt")), item.get("published")
    known = reduced(told) if day is None and isinstance(told, str) else None
    extra = without(item, _USED if known else _USED - {"published"}) | note(known)
    if not arxiv and identity is not None:
        extra["id"] = identity
    return FeedPaper(
        title=title,
        abstract=summary,
        arxiv=arxiv[0] if arxiv else None,
        version=arxiv[1] if arxiv else None,
        published=day or (known[0] if known else None),
        date_inferred=known is not None and known[1] != "day",
        authors=_authors(item.get("authors")),
        authors_count=_count(item.get("authorsCount")),
        organization=_name(item.get("organization"), "fullname", "name"),
        upvotes=_count(item.get("upvotes")),
        comments=_count(item.get("numComments")),
        categories=_words(item.get("categories")),
        links=merged(
            (link(item.get("githubRepo"), "code"), link(item.get("projectPage"), "project")), links_in(summary)
        ),
        doi=first_doi(item["doi"]) if isinstance(item.get("doi"), str) else None,
        journal=one_line(item.get("journal")) or None,
        source="huggingface",
        rank=rank,
        submitted_by=_name(submitter, "name", "user", "fullname"),
        thumbnail=_thumbnail(item),
        extra=copy.deepcopy(extra),
    )


def _thumbnail(item: Mapping[str, Any]) -> str | None:
    """Return the address of the first picture that the submitter chose, else of the one that the source made."""
    media = item.get("mediaUrls")
    media = [url for url in media if isinstance(url, str)] if isinstance(media, list) else []
    pictures = [url for url in media if url.lower().partition("?")[0].endswith(_PICTURES)]
    chosen = link((pictures or [item.get("thumbnail")])[0])
    return chosen.url if chosen is not None else None


def _authors(value: Any) -> tuple[Author, ...]:
    authors = []
    for entry in value if isinstance(value, list) else []:
        name = _name(entry, "name", "fullname")
        if name and is_name(name):
            authors.append(Author(name, hidden=_is(entry) and entry.get("hidden") is True))
    return tuple(authors)


def _name(value: Any, *keys: str) -> str | None:
    """Return a name that is told as a text, or as an object that has it under one of `keys`."""
    if isinstance(value, str):
        return one_line(value) or None
    return next((name for key in keys if (name := one_line(value.get(key)))), None) if _is(value) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _words(value: Any) -> tuple[str, ...]:
    return tuple(filter(None, map(one_line, value))) if isinstance(value, list) else ()


def _is(value: Any) -> bool:
    return isinstance(value, Mapping)
