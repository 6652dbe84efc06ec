"""The feed over the network: Hugging Face's daily papers, arXiv's API, and one paper by its id, DOI or address.

Knows addresses, parameters and paging. Leaves patience and safety to the client, and formats to their parsers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from trued.errors import InputError
from trued.feed.http.client import ARXIV_URL, HF_URL, Client, FetchError, base_url, default_client
from trued.feed.identifiers import arxiv_id, doi
from trued.feed.paper import FeedPaper
from trued.feed.sources.arxiv_atom import busy, parse_arxiv_atom
from trued.feed.sources.daily_json import parse_daily_json
from trued.feed.sources.files import read_bytes
from trued.feed.sources.reading import DAY_KEY, Reading
from trued.feed.spans import read_span
from trued.feed.store.records import Refusal

DAILY_PAGE = 100  # papers, the most that Hugging Face gives at once
ARXIV_PAGE = 200  # papers; arXiv gives up to 2,000, and recommends fewer
ARXIV_MOST = 30_000  # papers of one query, arXiv's own limit
ARXIV_EVERY = 3.0  # seconds between two requests, as arXiv's terms of use ask
_MOST_PAGES = 100
_HOLLOW_TRIES = 3  # arXiv sometimes answers a page without entries, and the same page whole a moment later
_IDS_AT_ONCE = 100

DailySort = Literal["publishedAt", "trending"]
ArxivSort = Literal["relevance", "lastUpdatedDate", "submittedDate"]


def fetch_daily(
    day: date | None = None,
    *,
    week: str | None = None,
    month: str | None = None,
    sort: DailySort | None = None,
    limit: int | None = None,
    base: str | None = None,
    client: Client | None = None,
) -> Reading:
    """Fetch the daily papers of a day, a week or a month, or the latest ones; every page of them.

    Args:
        day: the listing of this day.
        week: such as "2025-W49".
        month: such as "2025-12".
        limit: at most so many papers; all if None, and one page where neither day, week nor month is given.
        base: the server; `TRUED_HF_URL` or Hugging Face if None.

    Raises:
        InputError: a day that has not come, a week or a month that there is none of, or no answer.
    """
    params: dict[str, str | int] = dict(_span(day, week, month))
    if limit is None and not params:
        limit = DAILY_PAGE
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit} fetches nothing; give at least 1")
    if sort is not None:
        params["sort"] = sort
    client = client or default_client(bases=[base] if base else ())
    base = base or base_url("TRUED_HF_URL", HF_URL)
    papers: list[FeedPaper] = []
    refused: list[Refusal] = []
    known: set[str] = set()
    for page in range(_MOST_PAGES):
        answer = client.get(
            f"{base}/api/daily_papers", {**params, "p": page, "limit": DAILY_PAGE}, accept="application/json"
        )
        read = _told_by(answer.url, parse_daily_json, answer.content)
        before = page * DAILY_PAGE
        refused += [
            replace(refusal, where=f"{refusal.where}, page {page + 1}" if page else refusal.where)
            for refusal in read.refused
        ]
        # A paper moves to the next page if another one is listed while the pages are fetched.
        news = [paper for paper in read.papers if (paper.arxiv or paper.title) not in known]
        known |= {paper.arxiv or paper.title for paper in news}
        papers += [replace(paper, rank=before + (paper.rank or 1)) for paper in news]
        whole = len(read.papers) + len(read.refused)
        if whole < DAILY_PAGE or not news or (limit is not None and len(papers) >= limit):
            break
    name = week or month or (day.isoformat() if day else "latest")
    return Reading(tuple(papers[:limit]), tuple(refused), day=day, source=f"Hugging Face, {name}")


def fetch_arxiv(
    query: str | None = None,
    ids: Sequence[str] = (),
    *,
    limit: int = 100,
    sort: ArxivSort = "submittedDate",
    base: str | None = None,
    client: Client | None = None,
) -> Reading:
    """Fetch what arXiv knows of a query or of ids; every page of it, up to `limit`.

    Args:
        query: in arXiv's own language: `cat:cs.CL AND all:alignment`.
        ids: arXiv ids, with or without versions, in place of a query. An id that arXiv does not know is refused.
        limit: most papers of a query.
        sort: order of a query's papers, the latest or best first.
        base: the server; `TRUED_ARXIV_URL` or arXiv's own if None.

    Raises:
        InputError: neither or both of query and ids, an id that is none, arXiv refuses the query, or no answer.
    """
    client = client or default_client(bases=[base] if base else ())
    base = base or base_url("TRUED_ARXIV_URL", ARXIV_URL)
    if bool(query and query.strip()) == bool(ids):
        raise InputError("give either a query in arXiv's language, such as 'cat:cs.CL AND all:alignment', or ids")
    if ids:
        return _by_ids(ids, base, client)
    if not 1 <= limit <= ARXIV_MOST:
        raise InputError(f"limit {limit}: arXiv gives from 1 to {ARXIV_MOST:,} papers of one query")
    papers: dict[str, FeedPaper] = {}
    refused: list[Refusal] = []
    start = hollow = 0
    while len(papers) < limit:
        wanted = min(ARXIV_PAGE, limit - len(papers))
        params: dict[str, str | int] = {
            "search_query": str(query), "start": start, "max_results": wanted,
            "sortBy": sort, "sortOrder": "descending",
        }  # fmt: skip
        page = _arxiv_page(base, params, client)
        got, known = len(page.reading.papers) + len(page.reading.refused), len(papers)
        start += got
        # A paper moves to the next page if another one comes in while the pages are fetched.
        for paper in page.reading.papers:
            papers.setdefault(paper.arxiv or paper.title, paper)
        refused += page.reading.refused
        hollow = 0 if got else hollow + 1
        if hollow == _HOLLOW_TRIES:
            refused.append(Refusal(f"from paper {start + 1} on", "arXiv answers empty pages; fetch again later"))
            break
        if start >= page.total if page.total is not None else got < wanted:
            break
        if got and len(papers) == known:  # a server that knows no pages
            break
    ranked = tuple(replace(paper, rank=rank) for rank, paper in enumerate(list(papers.values())[:limit], start=1))
    return Reading(ranked, tuple(refused), source="arXiv")


def fetch_one(what: str, *, client: Client | None = None) -> FeedPaper:
    """Fetch one paper by its arXiv id, its DOI, or the address of its page.

    Raises:
        InputError: it is none of these, nothing is there, or the page is not of one paper.
    """
    client = client or default_client()
    if arxiv := arxiv_id(what):
        return _arxiv_paper(arxiv[0], client)
    read = fetch_url(what, client=client)
    if len(read.papers) != 1:
        raise InputError(f"{what.strip()} has {len(read.papers)} papers, expected one: `trued papers ingest` takes all")
    return read.papers[0]


def fetch_url(what: str, *, client: Client | None = None) -> Reading:
    """Fetch the papers behind a DOI or an address: a paper's page, or a file in one of the forms of `sources`.

    Raises:
        InputError: it is neither, nothing is there, or it has no paper.
    """
    client = client or default_client()
    if identifier := doi(what):
        answer = client.get(f"https://doi.org/{identifier}", accept="application/x-bibtex")
        return read_bytes(answer.content, f"doi:{identifier}", url=answer.url)
    if not is_reference(what):
        raise InputError(
            f"{what.strip()[:80]!r} is no arXiv id, DOI or address; expected one such as 2405.15589, "
            "10.1145/3592979.3593407 or https://openreview.net/forum?id=…"
        )
    answer = client.get(what.strip())
    read = read_bytes(answer.content, answer.url, url=answer.url)
    return replace(read, papers=tuple(_from_address(paper, answer.url) for paper in read.papers))


def _from_address(paper: FeedPaper, url: str) -> FeedPaper:
    """Return a paper with its true source: a file in arXiv's form is arXiv's word only if arXiv answered it."""
    origins = {
        "arxiv": ("arxiv.org", base_url("TRUED_ARXIV_URL", ARXIV_URL)),
        "huggingface": ("huggingface.co", base_url("TRUED_HF_URL", HF_URL)),
    }  # fmt: skip
    domain, base = origins.get(paper.source, ("", ""))
    parts = urlsplit(url)
    host = parts.hostname or ""
    if domain and (host == domain or host.endswith(f".{domain}") or url.startswith(f"{base}/")):
        return paper
    extra = {name: value for name, value in paper.extra.items() if name != DAY_KEY}
    return replace(paper, source="web", version=None, rank=None, extra=extra)


def is_reference(text: str) -> bool:
    """True if a text is an arXiv id, a DOI or an http(s) address; asks nobody."""
    text = text.strip()
    if arxiv_id(text) or doi(text):
        return True
    return re.fullmatch(r"https?://\S+", text, re.IGNORECASE) is not None


def _arxiv_paper(identity: str, client: Client) -> FeedPaper:
    try:
        read = fetch_arxiv(ids=[identity], client=client)
    except FetchError as error:
        if error.status is not None and error.status < 429:
            raise
        base = base_url("TRUED_HF_URL", HF_URL)  # which has a copy of most papers that people look for
        try:
            answer = client.get(f"{base}/api/papers/{identity}", accept="application/json")
        except FetchError:
            raise error from None
        read = _told_by(answer.url, parse_daily_json, answer.content)
    if not read.papers:
        raise InputError(f"arXiv has no paper {identity}; check the id")
    return replace(read.papers[0], rank=None)


def _by_ids(ids: Sequence[str], base: str, client: Client) -> Reading:
    wanted: dict[str, int | None] = {}
    for text in ids:
        arxiv = arxiv_id(text)
        if arxiv is None:
            raise InputError(f"{text!r} is no arXiv id; expected one such as 2405.15589 or hep-th/9901001")
        wanted[arxiv[0]] = arxiv[1]
    papers: dict[str, FeedPaper] = {}
    names = list(wanted)
    for at in range(0, len(names), _IDS_AT_ONCE):
        some = names[at : at + _IDS_AT_ONCE]
        page = _arxiv_page(base, {"id_list": ",".join(some), "max_results": len(some)}, client)
        papers |= {paper.arxiv: paper for paper in page.reading.papers if paper.arxiv}
    refused = tuple(Refusal(name, "arXiv has no such paper") for name in names if name not in papers)
    listed = tuple(papers[name] for name in names if name in papers)
    return Reading(listed, refused, source="arXiv")


def _arxiv_page(base: str, params: dict[str, str | int], client: Client):
    answer = client.get(f"{base}/api/query", params, accept="application/atom+xml", every=ARXIV_EVERY, busy=busy)
    return _told_by(answer.url, parse_arxiv_atom, answer.content)


def _told_by(url: str, parse, content: bytes):
    """Parse an answer; an error names where it came from."""
    try:
        return parse(content)
    except InputError as error:
        raise InputError(f"{url}: {error}") from None


def _span(day: date | None, week: str | None, month: str | None) -> dict[str, str]:
    """Return the parameter for a day, a week or a month, once it is known that there is one.

    Raises:
        InputError: two of them, or one that does not exist or has not come.
    """
    given = [value for value in (day, week, month) if value is not None]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} together; give a day, a week or a month")
    today = datetime.now(UTC).date() + timedelta(days=1)  # somewhere it is tomorrow already
    if day is not None:
        first, params = day, {"date": day.isoformat()}
    elif week is not None:
        first, params = read_span("week", week).first, {"week": week}
    elif month is not None:
        first, params = read_span("month", month).first, {"month": month}
    else:
        return {}
    if first > today:
        raise InputError(f"{next(iter(params.values()))} has not come yet; nothing is listed for it")
    return params
