"""What a source string means: a name of a feed, a file, an arXiv id, a DOI, an address, or a title.

Knows the names and which reader each kind needs. Knows nothing of stores.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import BinaryIO

from trued.errors import InputError
from trued.feed.http.client import Client
from trued.feed.identifiers import arxiv_id
from trued.feed.sources.files import LARGEST, read_bytes, read_file
from trued.feed.sources.online import fetch_arxiv, fetch_daily, fetch_one, fetch_url, is_reference
from trued.feed.sources.reading import Reading
from trued.feed.sources.resolve import resolve_title
from trued.feed.sources.shipped import shipped_page
from trued.feed.sources.text_page import CountMeans

ARXIV_LIMIT = 100  # papers of a query, where no other number is given


def read_source(
    source: str,
    *,
    client: Client,
    day: date | None = None,
    week: str | None = None,
    month: str | None = None,
    query: str | None = None,
    limit: int | None = None,
    page_year: int | None = None,
    count_means: CountMeans = "comments",
    strict: bool = False,
    stdin: BinaryIO | None = None,
) -> Reading:
    """Read a source, whatever it is; a name goes before a file.

    Args:
        source: `daily`, `arxiv`, `page`, `-` for `stdin`, a file, or what `read_reference` takes.
        day, week, month: with `daily`: which listing.
        query: with `arxiv`, in its own language.
        limit: with `daily` and `arxiv`: most papers.
        page_year, count_means, strict: of `parse_page`, for the page's text.

    Raises:
        InputError: it is none of these, options are given that another source takes, or nothing can be read.
    """
    check_options(source, day=day, week=week, month=month, query=query, limit=limit)
    if source == "-" and stdin is not None:
        data = stdin.read(LARGEST + 1)
        return read_bytes(data, "standard input", page_year=page_year, count_means=count_means, strict=strict)
    if source == "daily":
        return fetch_daily(day, week=week, month=month, limit=limit, client=client)
    if source == "arxiv":
        return fetch_arxiv(query, limit=limit or ARXIV_LIMIT, client=client)
    if source == "page":
        return shipped_page()
    if Path(source).exists():
        return read_file(source, page_year=page_year, count_means=count_means, strict=strict)
    if not is_reference(source):
        raise InputError(
            f"{source[:100]!r} is no file, arXiv id, DOI or address; the other sources are daily, arxiv and page"
        )
    return read_reference(source, client=client)


def read_reference(what: str, *, client: Client) -> Reading:
    """Read the papers that an arXiv id, a DOI, an address or a title names; no file of this machine is opened.

    Raises:
        InputError: nothing is there, or no paper or more than one has the title.
    """
    if arxiv_id(what):
        return Reading((fetch_one(what, client=client),), source=what)
    if is_reference(what):
        return fetch_url(what, client=client)
    paper = resolve_title(what, client=client)
    if paper is None:
        raise InputError(f"no paper on arXiv, or more than one, has the title “{what[:80]}”; give its id or address")
    return Reading((paper,), source=what)


def check_options(
    source: str, *, day: object = None, week: object = None, month: object = None, query: str | None = None,
    limit: int | None = None,
) -> None:  # fmt: skip
    """Refuse options that another source takes, before anything is fetched.

    Raises:
        InputError: one that does not fit the source, or two that exclude each other.
    """
    spans = {"--date": day, "--week": week, "--month": month}
    given = [name for name, value in spans.items() if value is not None]
    if given and source != "daily":
        raise InputError(f"{given[0]} goes with daily; write `trued papers ingest daily {given[0]} …`")
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} together; give one of them")
    if (query is not None) != (source == "arxiv"):
        raise InputError(
            "arxiv and --query go together: trued papers ingest arxiv --query 'cat:cs.CL AND all:alignment'"
        )
    if limit is not None and source not in ("daily", "arxiv"):
        raise InputError("--limit goes with daily and arxiv; a file is read whole")
