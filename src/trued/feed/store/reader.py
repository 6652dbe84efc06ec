"""Papers as they stand in the store: one, many in an order, and their counts over time.

Knows rows, orders and filters. Knows nothing of words and meaning.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import func, select

from trued.errors import InputError, nearest
from trued.feed.store import counts
from trued.feed.store.database import Database
from trued.feed.store.filters import of_filters
from trued.feed.store.merge import title_key
from trued.feed.store.records import OWNER, Filters, Order, StoredPaper, Verdicts
from trued.feed.store.rows import stored
from trued.feed.store.tables import PaperRow, SnapshotRow

ORDERS: dict[str, tuple[Any, ...]] = {
    "rank": (PaperRow.day.desc().nulls_last(), PaperRow.rank.asc().nulls_last(), PaperRow.uid),
    "new": (PaperRow.published.desc().nulls_last(), PaperRow.uid.desc()),
    "trending": (PaperRow.heat.desc().nulls_last(), PaperRow.published.desc().nulls_last(), PaperRow.uid),
    "upvotes": (PaperRow.popularity.desc(), PaperRow.published.desc().nulls_last(), PaperRow.uid),
}


class PaperReader(Database):
    """The part of the store that papers are read from."""

    verdicts: Verdicts | None = None

    def get(self, uid: int) -> StoredPaper:
        """Return the paper with this number.

        Raises:
            InputError: there is none.
        """
        with self.reading() as session:
            row = session.get(PaperRow, uid)
            if row is None:
                raise InputError(
                    f"there is no paper number {uid} in the store; `trued papers search` shows the numbers"
                )
            return stored(row, self.now())

    def find(self, *, arxiv: str | None = None, title: str | None = None) -> StoredPaper | None:
        """Return the paper with this arXiv id (without a version), or else with this title, or None.

        Titles are the same without case, diacritics, punctuation and TeX.
        """
        with self.reading() as session:
            row = session.scalar(select(PaperRow).filter_by(arxiv=arxiv)) if arxiv else None
            if row is None and title and (key := title_key(title)):
                row = session.scalar(select(PaperRow).filter_by(title_key=key).order_by(PaperRow.uid).limit(1))
            return None if row is None else stored(row, self.now())

    def many(self, uids: list[int]) -> dict[int, StoredPaper]:
        """Return number → paper, for those of the numbers that there are."""
        with self.reading() as session:
            rows = session.scalars(select(PaperRow).where(PaperRow.uid.in_(uids)))
            return {row.uid: stored(row, self.now()) for row in rows}

    def listing(
        self,
        order: Order = "rank",
        filters: Filters = Filters(),  # noqa: B008 - frozen
        *,
        offset: int = 0,
        limit: int = 50,
        person: str = OWNER,
    ) -> tuple[list[StoredPaper], int]:
        """Return papers in an order, a page of them, and how many there are in all.

        Args:
            order: "rank" (the feed's own order, the latest listing first), "new" (by publication), "trending" (see
                `trued.feed.trending`) or "upvotes".
            filters: what must be true of them.
            offset, limit: where the page begins, and how long it is.
            person: whose tags `filters.tag` means.

        Raises:
            InputError: an order, a field, state or verdict that there is not, or a page before the first.
        """
        if order not in ORDERS:
            raise InputError(f"no order is named {order!r}{nearest(order, ORDERS)} (there are {', '.join(ORDERS)})")
        if offset < 0 or limit < 0:
            raise InputError(f"offset {offset} and limit {limit}: both are numbers from 0")
        conditions = of_filters(filters, person, self.verdicts)
        page = select(PaperRow).where(*conditions).order_by(*ORDERS[order]).offset(offset).limit(limit)
        total = select(func.count()).select_from(PaperRow).where(*conditions)
        with self.reading() as session:
            now = self.now()
            return [stored(row, now) for row in session.scalars(page)], session.scalar(total) or 0

    def days(self) -> list[tuple[date, int]]:
        """Return the days that have papers, the latest first, and how many each has."""
        query = (
            select(PaperRow.shown, func.count())
            .where(PaperRow.shown.is_not(None))
            .group_by(PaperRow.shown)
            .order_by(PaperRow.shown.desc())
        )
        with self.reading() as session:
            return [(day, count) for day, count in session.execute(query) if day is not None]

    def count(self) -> int:
        """Return how many papers there are."""
        with self.reading() as session:
            return session.scalar(select(func.count()).select_from(PaperRow)) or 0

    def snapshot(self, day: date) -> int:
        """Keep upvotes and comments of a day, for the papers whose counts are not those of their latest snapshot.

        Ingests, votes and comments keep theirs by themselves; this catches what was written past them.

        Returns:
            Of how many papers.

        Raises:
            InputError: the day is to come, or lies before a snapshot that is kept already.
        """
        now = self.now()
        if day > now.date():
            raise InputError(f"{day} is to come (today is {now.date()}, UTC); counts are kept of days that have begun")
        with self.writing() as session:
            latest = session.scalar(select(func.max(SnapshotRow.day)))
            unrecorded = counts.unrecorded(session)
            if unrecorded and latest is not None and day < latest:
                raise InputError(f"counts of {latest} are kept already; those of {day} would come after later ones")
            at = min(now, counts.end_of(day))
            rows = [
                {"uid": row.uid, "day": day, "at": at, "upvotes": row.upvotes, "comments": row.comments}
                for row in unrecorded
            ]
            counts.record(session, self.insert, rows)
            return len(rows)

    def history(self, uid: int) -> list[tuple[date, int, int]]:
        """Return (day, upvotes, comments) of a paper's snapshots, the oldest first."""
        query = select(SnapshotRow.day, SnapshotRow.upvotes, SnapshotRow.comments).filter_by(uid=uid)
        with self.reading() as session:
            return [(day, up, remarks) for day, up, remarks in session.execute(query.order_by(SnapshotRow.day))]
