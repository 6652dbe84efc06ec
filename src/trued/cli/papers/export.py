"""`trued papers export` and `trued papers feed`: papers of the store as files that other programs read.

Knows options and files. Knows nothing of formats, which are written in `trued.feed`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from trued.cli.options import Switch, WholeNumber
from trued.cli.terminal import messages, progress
from trued.errors import InputError
from trued.files import claim_output, write_output
from trued.papers.card import Field
from trued.papers.catalogue import State

if TYPE_CHECKING:
    from trued.feed.paper_store import PaperStore, StoredPaper
    from trued.feed.search.selection import Selection

KIND = "list of papers"
"""What such a file is called among the kinds of output."""
AT_ONCE = 100  # papers whose authors are fetched before they are stored


@Parameter(name="*")
@dataclass(frozen=True)
class Choice:
    """Which papers.

    Parameters
    ----------
    query
        A search that they answer to, such as 'alignment author:smith year:2025'; every word has to occur.
    order
        The order they come in; relevance is the search's own.
    field
        Only papers of this field; they have a card.
    state
        Only papers that run here, or only those that are planned.
    tag
        Only papers with this tag.
    has_code
        Only papers that link to their code.
    min_upvotes
        Only papers with at least so many upvotes.
    since
        Only papers of this day and later, such as 2025-11-24.
    until
        Only papers of this day and earlier.
    """

    query: Annotated[str, Parameter(alias="-q")] = ""
    order: Literal["new", "trending", "upvotes", "rank", "relevance"] = "new"
    field: Field | None = None
    state: State | None = None
    tag: str | None = None
    has_code: Switch = False
    min_upvotes: WholeNumber | None = None
    since: str | None = None
    until: str | None = None

    def selection(self, limit: int | None) -> Selection:
        """Return the choice as the store understands it.

        Raises:
            InputError: a day that is none, or a limit below 1.
        """
        from trued.feed.search.selection import Selection
        from trued.feed.spans import read_day
        from trued.feed.store.records import Filters

        if limit is not None and limit < 1:
            raise InputError(f"--limit {limit} leaves no paper; give at least 1")
        filters = Filters(
            since=read_day(self.since, "--since"), until=read_day(self.until, "--until"), field=self.field,
            state=self.state, tag=self.tag, has_code=self.has_code, min_upvotes=self.min_upvotes,
        )  # fmt: skip
        return Selection(self.query, self.order, filters=filters, limit=limit)


def export(
    output: Path | None = None,
    /,
    *,
    choice: Choice = Choice(),
    limit: WholeNumber | None = None,
    bookmarks: Switch = False,
    format: Literal["bibtex", "ris", "csl", "csv", "jsonl", "markdown"] | None = None,
    resolve: Switch = False,
    zotero: str | None = None,
) -> None:
    """Write papers as BibTeX, RIS, CSL-JSON, CSV, JSON Lines or Markdown.

    Parameters
    ----------
    output
        The file; its ending says the format (.bib, .ris, .csl.json, .csv, .jsonl, .md). Without it they are printed.
    limit
        How many papers at most; all of them otherwise.
    bookmarks
        Your bookmarks, and nothing else.
    format
        The format, where no file's ending says it; bibtex otherwise.
    resolve
        Ask arXiv for the authors of papers that have none, and keep them.
    zotero
        Put the papers into this Zotero library in place of a file: users/ID or groups/ID, with the key in
        TRUED_ZOTERO_KEY.
    """
    from trued.feed.export import formats
    from trued.feed.paper_store import default_store

    if bookmarks and choice != Choice():
        raise InputError("--bookmarks takes all of them; leave the other choices out")
    if zotero is not None and (output is not None or format is not None):
        raise InputError("--zotero writes into a library and not into a file; leave the file and --format out")
    format_name = format or (formats.format_of(output.name) if output is not None else "bibtex")
    selection = choice.selection(limit)
    if output is not None:
        claim_output(output, kind=KIND)
    with closing(default_store()) as store:
        papers = store.bookmarks(selection.person)[:limit] if bookmarks else selection.papers(store)
        if resolve:
            papers = _resolved(store, papers)
    if zotero is not None:
        _push(papers, zotero)
        return
    made = formats.export(papers, format_name)
    for warning in made.warnings:
        messages().print(f"trued: {warning}", soft_wrap=True)
    _write(made.text.encode(), output, len(papers))


def feed(
    output: Path | None = None,
    /,
    *,
    choice: Choice = Choice(),
    limit: WholeNumber = 50,
    format: Literal["atom", "rss", "json", "opml"] | None = None,
    address: str | None = None,
) -> None:
    """Write papers as an Atom, RSS or JSON feed, or the saved searches as OPML.

    Parameters
    ----------
    output
        The file; its ending says the format (.atom, .rss, .json, .opml). Without it the feed is printed.
    limit
        How many papers at most.
    format
        The format, where no file's ending says it; atom otherwise.
    address
        Where the feed will be served; readers know it by that. For OPML, the page's address.
    """
    from trued.feed.mail.settings import public_url
    from trued.feed.paper_store import default_store
    from trued.feed.syndication import formats as syndication

    ending = output.suffix.lstrip(".").lower() if output is not None else "atom"
    syntax = format or ending
    home = public_url() or "http://127.0.0.1:8000"
    selection = choice.selection(limit)
    if syntax not in ("atom", "rss", "json", "opml"):
        raise InputError(f"{output} does not say its format; end it in .atom, .rss, .json or .opml, or give --format")
    if output is not None:
        claim_output(output, kind=KIND)
    with closing(default_store()) as store:
        if syntax == "opml":
            saved = store.saved_queries(selection.person)
            _write(syndication.opml(saved, (address or home).rstrip("/")).encode(), output, len(saved), "searches")
            return
        papers = selection.papers(store)
    channel = syndication.Channel(selection.title, home, address)
    _write(syndication.render(papers, channel, syntax).body, output, len(papers))


def _write(data: bytes, output: Path | None, count: int, what: str = "papers") -> None:
    if output is None:
        sys.stdout.write(data.decode())
        return
    write_output(output, data, kind=KIND)
    messages().print(f"{output}: {count} {what}", soft_wrap=True)


def _resolved(store: PaperStore, papers: Sequence[StoredPaper]) -> list[StoredPaper]:
    """Return the papers with what arXiv knows of those that have no authors; it is kept in the store."""
    from trued.feed.sources.online import fetch_arxiv

    wanting = [stored.paper.arxiv for stored in papers if stored.paper.arxiv and not stored.paper.authors]
    with progress() as display:
        task = display.add_task("asking arXiv", total=len(wanting))
        for start in range(0, len(wanting), AT_ONCE):
            batch = wanting[start : start + AT_ONCE]
            store.ingest(fetch_arxiv(ids=batch).papers)
            display.advance(task, len(batch))
    nameless = sum(not stored.paper.arxiv and not stored.paper.authors for stored in papers)
    if nameless:
        messages().print(f"trued: {nameless} papers have no arXiv id to ask by; `trued papers sync` may find it")
    return [store.get(stored.uid) for stored in papers]


def _push(papers: Sequence[StoredPaper], library: str) -> None:
    from trued.feed.export import zotero

    target = zotero.Library.from_environment(library)
    with progress() as display:
        task = display.add_task("Zotero", total=len(papers))
        made = zotero.push(papers, target, progress=lambda done, _: display.update(task, completed=done))
    for title, why in made.failed:
        messages().print(f"trued: {title}: {why}", soft_wrap=True)
    messages().print(f"{library}: {made.added} papers")
    if made.failed:
        raise InputError(f"Zotero refused {len(made.failed)} of {len(papers)} papers; the others are in {library}")
