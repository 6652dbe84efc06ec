"""`trued papers ingest` and `trued papers sync`: papers from a file, an address or the daily feed into the store.

Knows options, what a source is called, and how to tell what came in. Knows nothing of formats, merging or databases.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from trued.cli.options import JsonSwitch, Switch, WholeNumber
from trued.cli.terminal import console, messages, print_json, progress
from trued.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress

    from trued.feed.http.client import Client
    from trued.feed.paper import FeedPaper
    from trued.feed.paper_store import PaperStore
    from trued.feed.sources.reading import Reading
    from trued.feed.store.records import IngestReport

_MOST_DAYS = 62
_SHOWN = 10  # refused entries that are printed; --json gives all
_QUIET_DAYS = 4  # days without a listing after which a source is said to be stale: a weekend and a holiday are fewer
_Offline = Annotated[Switch, Parameter(help="Answer from what was fetched before; TRUED_OFFLINE=1 does the same.")]


def ingest(
    source: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    day: Annotated[str | None, Parameter(name="--date")] = None,
    week: str | None = None,
    month: str | None = None,
    query: str | None = None,
    limit: WholeNumber | None = None,
    resolve: Switch = False,
    page_year: WholeNumber | None = None,
    count_means: Literal["comments", "upvotes"] = "comments",
    strict: Switch = False,
    offline: _Offline = False,
    as_json: JsonSwitch = False,
) -> None:
    """Bring papers into the store; the same papers again change nothing.

    Parameters
    ----------
    source
        A file (the page's text, Hugging Face's JSON, JSON Lines, Atom, BibTeX; - for standard input), an arXiv id,
        a DOI, an address, `daily` for Hugging Face's feed, `arxiv` with --query, or `page` for the shipped one.
    day
        With daily: the listing of this day, such as 2025-12-10.
    week
        With daily: of this week, such as 2025-W49.
    month
        With daily: of this month, such as 2025-12.
    query
        With arxiv: in its own language, such as "cat:cs.CL AND all:alignment".
    limit
        With daily and arxiv: at most so many papers.
    resolve
        Look up the arXiv ids of papers that have none by their titles; takes three seconds or more a paper.
    page_year
        For the page's text: the year in which it was shown; worked out otherwise.
    count_means
        For the page's text: what the number behind a date counts, which the page does not say.
    strict
        For the page's text: stop at the first line that is not understood.
    """
    from trued.feed.http.client import default_client
    from trued.feed.sources.resolve import identify
    from trued.feed.sources.source import check_options, read_source
    from trued.feed.spans import read_day

    check_options(source, day=day, week=week, month=month, query=query, limit=limit)
    client = default_client(offline=True if offline else None)
    read = read_source(
        source, client=client, day=read_day(day, "--date"), week=week, month=month, query=query, limit=limit,
        page_year=page_year, count_means=count_means, strict=strict, stdin=sys.stdin.buffer if source == "-" else None,
    )  # fmt: skip
    read = replace(read, papers=identify(read.papers))
    if resolve:
        read = _resolved(read, client)
    with _store() as store, progress() as display:
        task = display.add_task("storing", total=len(read.papers))
        report = store.ingest_reading(read, progress=lambda done: display.advance(task, done))
        if source == "daily" and not client.offline:
            _add_thumbnails(store, read.papers, display)
    _tell(read.source or source, report, as_json)


def sync(*, days: WholeNumber = 7, offline: _Offline = False, as_json: JsonSwitch = False) -> None:
    """Bring the store up to date with the daily feed, day by day; what came in before a Ctrl-C is kept.

    The last days are fetched again each time, since their upvotes and comments go on changing.

    Parameters
    ----------
    days
        So many days back; or back to the newest listing in the store, if that is longer ago, for two months at most.
    """
    if not 1 <= days <= _MOST_DAYS:
        raise InputError(
            f"--days {days}: give from 1 to {_MOST_DAYS}; `trued papers ingest daily --month` fetches others"
        )
    from trued.feed.http.client import default_client
    from trued.feed.sources.online import fetch_daily
    from trued.feed.sources.resolve import identify
    from trued.feed.store.records import IngestReport

    client = default_client(offline=True if offline else None)
    today = datetime.now(UTC).date()
    with _store() as store, progress() as display:
        known = _newest_listing(store)
        start = min(today - timedelta(days=days - 1), known or today)
        start = max(start, today - timedelta(days=_MOST_DAYS - 1))
        wanted = [start + timedelta(days=n) for n in range((today - start).days + 1)]
        task = display.add_task("fetching", total=len(wanted))
        total, newest, listed = IngestReport(), None, []
        for day in wanted:
            read = fetch_daily(day, client=client)
            if read.papers:
                newest = day
                listed += read.papers
            total += store.ingest_reading(replace(read, papers=identify(read.papers)))
            display.advance(task)
        store.snapshot(today)
        if not client.offline:
            _add_thumbnails(store, listed, display)
    newest = newest or known
    _tell(f"Hugging Face, {wanted[0]} to {wanted[-1]}", total, as_json)
    if newest is None or (today - newest).days > _QUIET_DAYS:
        since = f"since {newest}" if newest else f"in {days} days"
        messages().print(f"trued: no papers were listed {since}; the source may have stopped", soft_wrap=True)


def _add_thumbnails(store: PaperStore, papers: Iterable[FeedPaper], display: Progress) -> None:
    """Bring in the pictures that the daily feed names for these papers."""
    from trued.feed.thumbnails import fetch_thumbnails

    task = display.add_task("fetching pictures", total=None)
    fetch_thumbnails(store, papers, progress=lambda done, total: display.update(task, completed=done, total=total))
    display.update(task, visible=False)


def _newest_listing(store: PaperStore) -> date | None:
    """Return the newest day whose listing is in the store; days of publication do not count."""
    return max((paper.day for paper in store.listing("new", limit=500)[0] if paper.day is not None), default=None)


def _resolved(read: Reading, client: Client) -> Reading:
    """Return a reading with the arXiv papers of those titles that had no id; a title without a certain answer stays."""
    from trued.feed.sources.resolve import resolve_title

    open_titles = [paper for paper in read.papers if paper.arxiv is None]
    papers: list[FeedPaper] = []
    resolved = 0
    with progress() as display:
        task = display.add_task("looking up titles", total=len(open_titles))
        for paper in read.papers:
            papers.append(paper)
            if paper.arxiv is None:
                match = resolve_title(paper.title, client=client, published=paper.published)
                display.advance(task)
                if match is not None:
                    resolved += 1
                    papers[-1] = replace(paper, arxiv=match.arxiv)
                    papers.append(match)
    messages().print(f"{resolved} of {len(open_titles)} titles without an id were found on arXiv")
    return replace(read, papers=tuple(papers))


def _tell(source: str, report: IngestReport, as_json: bool) -> None:
    if as_json:
        print_json({"source": source} | asdict(report))
        return
    out = console()
    refused = f", {len(report.refused)} refused" if report.refused else ""
    out.print(
        f"{source}: {report.added} added, {report.changed} changed, {report.unchanged} unchanged{refused}",
        soft_wrap=True,
    )
    for refusal in report.refused[:_SHOWN]:
        out.print(f"  refused: {refusal.where}: {refusal.why}", soft_wrap=True)
    if len(report.refused) > _SHOWN:
        out.print(f"  and {len(report.refused) - _SHOWN} more; --json gives all")


@contextmanager
def _store() -> Iterator[PaperStore]:
    from trued.feed.paper_store import default_store

    store = default_store()
    try:
        yield store
    finally:
        store.close()
