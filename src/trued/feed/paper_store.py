"""The store of the daily papers: papers in, papers out, what people leave beside them, and who gets digests.

One file of SQLite by default; `TRUED_DATABASE_URL` names another database, such as PostgreSQL. Nothing that an ingest
says removes a paper: a listing that shrinks, as listings do while they are being updated, takes nothing away.

Knows the parts and puts them together: `ingest`, `reader`, `search`, `people`, `ledger`, `doctor`. Knows nothing of the
network, of mail, of pages or of models; the embedder comes in as a function.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING

from trued.feed.paper import FeedPaper
from trued.feed.search.search import Progress, Search
from trued.feed.store import doctor, ingest
from trued.feed.store.database import file_of
from trued.feed.store.ledger import Ledger
from trued.feed.store.people import People
from trued.feed.store.records import (
    OWNER,
    Comment,
    Digest,
    Embed,
    Filters,
    Hit,
    IngestReport,
    Marks,
    Mode,
    Nearness,
    Order,
    Refusal,
    SavedQuery,
    StoredPaper,
    Subscriber,
    Verdicts,
    utc_now,
)  # fmt: skip
from trued.feed.store.sessions import Sessions
from trued.feed.store.thumbnails import Thumbnails

if TYPE_CHECKING:
    from trued.feed.sources.reading import Reading

__all__ = [
    "OWNER", "Comment", "Digest", "Embed", "Filters", "Hit", "IngestReport", "Marks", "Mode", "Nearness", "Order",
    "PaperStore", "Refusal", "SavedQuery", "StoredPaper", "Subscriber", "Verdicts", "default_store", "utc_now",
]  # fmt: skip


class PaperStore(Search, People, Ledger, Sessions, Thumbnails):
    """All papers in one database.

    Args:
        url: an SQLAlchemy URL; `TRUED_DATABASE_URL`, or `papers.db` in the data folder, if None.
        embed: texts to unit vectors; without it, meaning is judged by TF-IDF.
        clock: tells the time, in UTC.
        verdicts: gives slug → the verdicts that its claims got, for `Filters.verdict`.

    Raises:
        InputError: the URL is not one, the database cannot be reached, or a newer trued made it.
        MissingExtra: the database's driver is not installed.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        embed: Embed | None = None,
        clock: Callable[[], datetime] = utc_now,
        verdicts: Verdicts | None = None,
    ) -> None:
        super().__init__(url, clock=clock)
        self.embed = embed
        self.verdicts = verdicts

    def ingest(
        self, papers: Iterable[FeedPaper], *, day: date | None = None, progress: Progress | None = None
    ) -> IngestReport:
        """Take entries in: new papers are added, known ones merged, field by field, with what is told of them.

        One transaction a batch: if it is cut off, the batches before are kept, and the same ingest again completes it.
        The same entries again change nothing.

        Args:
            papers: the entries, in the source's order.
            day: the day whose listing they are; None if they are none.
            progress: is called with (entries done, None or how many there are) after each batch.

        Returns:
            How many papers were added, changed and left as they were, and which entries were refused, and why.
        """
        tally, entries = ingest.Tally(), iter(papers)
        total = len(papers) if isinstance(papers, list | tuple) else None
        while batch := list(islice(entries, ingest.BATCH)):
            now = self.now()
            sound = ingest.sift(batch, now.date(), tally)
            if sound:
                with self.writing() as session:
                    ingest.take(session, self.insert, sound, day=day, now=now, tally=tally)
            if progress is not None:
                progress(tally.seen, total)
        return IngestReport(tally.added, tally.changed, tally.unchanged, tuple(tally.refused))

    def ingest_reading(self, reading: Reading, *, progress: Callable[[int], object] | None = None) -> IngestReport:
        """Take in what was read from a source, each paper under the day whose listing had it.

        Args:
            progress: is called with the number of entries done since the last call.

        Returns:
            As `ingest`; what the reading refused is among the refused.
        """
        report = IngestReport(refused=reading.refused)
        for day, papers in reading.by_day():
            report += self.ingest(papers, day=day)
            if progress is not None:
                progress(len(papers))
        return report

    def doctor(self) -> list[str]:
        """Return what is wrong, one sentence each; empty if the store is sound."""
        findings = []
        with self.writing() as session:  # the index can be checked only by who may write
            if self.sqlite:
                findings += doctor.of_file(session)
            findings += doctor.of_papers(session, self.now()) + doctor.of_ledger(session, self.now())
        if self.embed is not None and (missing := self.unindexed()):
            findings.append(f"{missing} papers have no vector of their present text: `trued papers index` makes them")
        if os.name == "posix" and (path := file_of(self.engine.url.render_as_string(hide_password=False))):
            findings += doctor.of_permissions(path)
        return findings

    def close(self) -> None:
        """Give back all connections; vectors of a store in memory go with it."""
        super().close()
        if self._scratch is not None:
            self._scratch.cleanup()


def default_store(*, embed: Embed | None = None, verdicts: Verdicts | None = None) -> PaperStore:
    """Return the user's own store."""
    return PaperStore(embed=embed, verdicts=verdicts)
