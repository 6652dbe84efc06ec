"""How entries come into the store: cleaned, matched with what is known, merged, and written in one transaction a batch.

Knows entries and rows. Knows nothing of where the entries come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.orm import Session

from trued.feed import trending
from trued.feed.paper import FeedPaper
from trued.feed.store import counts
from trued.feed.store.merge import clean, flaw, merge, origins, same, title_key
from trued.feed.store.records import Refusal
from trued.feed.store.rows import columns, paper_of
from trued.feed.store.tables import PaperRow, SnapshotRow

BATCH = 500  # entries in one transaction
COUNTS = {"upvotes", "comments"}


@dataclass
class Tally:
    """What became of the entries so far."""

    seen: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)


@dataclass
class _Known:
    """A paper while a batch is worked through: what the store has of it, and what it will have."""

    paper: FeedPaper
    origin: dict[str, str]
    day: date | None
    row: PaperRow | None = None


def sift(entries: Iterable[FeedPaper], today: date, tally: Tally) -> list[FeedPaper]:
    """Return the entries that can come in, cleaned; the others are noted as refused."""
    sound = []
    for entry in entries:
        tally.seen += 1
        entry = clean(entry)
        if (why := flaw(entry, today)) is None:
            sound.append(entry)
        else:
            name = entry.arxiv or entry.title[:80] or "no title"
            tally.refused.append(Refusal(f"entry {tally.seen} ({name})", why))
    return sound


def take(
    session: Session, insert_or: Any, entries: list[FeedPaper], *, day: date | None, now: datetime, tally: Tally
) -> None:
    """Bring a batch of cleaned entries into the store, within the caller's transaction.

    Args:
        insert_or: `Database.insert`, for this database's kind of INSERT.
        day: the day whose listing the entries are, or None.
    """
    book = _Book(_load(session, entries))
    news: list[_Known] = []
    for entry in entries:
        known = book.find(entry)
        if known is None:
            known = _Known(entry, origins(entry), day)
            news.append(known)
        else:
            stale = known.day is not None and (day is None or day < known.day)
            incoming = replace(entry, rank=None) if stale else entry  # a place in an older listing says nothing now
            known.paper, known.origin = merge(known.paper, incoming, known.origin)
            known.day = known.day if stale else day or known.day
        book.enter(known)
    stamp = (session.scalar(select(func.max(PaperRow.stamp))) or 0) + 1
    _add(session, insert_or, news, stamp, now)
    altered = _alter(session, insert_or, [item for item in book.everything() if item.row is not None], stamp, now)
    tally.added += len(news)
    tally.changed += altered
    tally.unchanged += len(entries) - len(news) - altered


class _Book:
    """Papers by arXiv id and by title."""

    def __init__(self, known: Iterable[_Known]) -> None:
        self.by_id: dict[str, _Known] = {}
        self.by_title: dict[str, list[_Known]] = {}
        for item in known:
            self.enter(item)

    def enter(self, known: _Known) -> None:
        if known.paper.arxiv:
            self.by_id[known.paper.arxiv] = known
        titled = self.by_title.setdefault(title_key(known.paper.title), [])
        if not any(item is known for item in titled):
            titled.append(known)

    def find(self, entry: FeedPaper) -> _Known | None:
        if entry.arxiv and entry.arxiv in self.by_id:
            return self.by_id[entry.arxiv]
        titled = self.by_title.get(title_key(entry.title), ())
        return next((known for known in titled if same(known.paper, entry)), None)

    def everything(self) -> list[_Known]:
        return list({id(item): item for titled in self.by_title.values() for item in titled}.values())


def _load(session: Session, entries: list[FeedPaper]) -> list[_Known]:
    ids = {entry.arxiv for entry in entries if entry.arxiv}
    keys = {title_key(entry.title) for entry in entries}
    query = select(PaperRow).where(or_(PaperRow.arxiv.in_(ids), PaperRow.title_key.in_(keys))).order_by(PaperRow.uid)
    return [_Known(paper_of(row), dict(row.origin), row.day, row) for row in session.scalars(query)]


def _add(session: Session, insert_or: Any, news: list[_Known], stamp: int, now: datetime) -> None:
    if not news:
        return
    rows, snapshots = [], []
    for known in news:
        paper = known.paper
        row = columns(paper, known.origin, known.day)
        at = counts.first_sight(row["shown"], now)
        seen = (at, paper.upvotes or 0, paper.comments or 0)
        rows.append(
            row
            | {"stamp": stamp, "first_seen": now, "changed": now, "votes": 0, "remarks": 0}
            | {"popularity": seen[1], "heat": trending.heat([seen])}
        )
        snapshots.append({"day": at.date(), "at": at, "upvotes": seen[1], "comments": seen[2]})
    uids = session.scalars(insert(PaperRow).returning(PaperRow.uid, sort_by_parameter_order=True), rows)
    counted = [
        {"uid": uid, **snapshot}
        for uid, snapshot in zip(uids, snapshots, strict=True)
        if snapshot["upvotes"] or snapshot["comments"]
    ]
    if counted:
        session.execute(insert_or(SnapshotRow), counted)


def _alter(session: Session, insert_or: Any, known: list[_Known], stamp: int, now: datetime) -> int:
    """Write what differs from the rows; returns how many papers did."""
    changes: dict[tuple[str, ...], list[dict[str, Any]]] = {}  # by the columns that change
    snapshots = []
    for item in known:
        row = item.row
        assert row is not None
        changed = {
            name: value
            for name, value in columns(item.paper, item.origin, item.day).items()
            if value != getattr(row, name)
        }
        if not changed:
            continue
        if COUNTS & changed.keys():
            changed["popularity"] = (item.paper.upvotes or 0) + row.votes
            at = now if row.heat is not None else counts.first_sight(item.day or item.paper.published, now)
            total = (item.paper.comments or 0) + row.remarks
            snapshots.append(
                {"uid": row.uid, "day": at.date(), "at": at, "upvotes": changed["popularity"], "comments": total}
            )
        if {"title", "abstract"} & changed.keys():
            changed["stamp"] = stamp
        changed["changed"] = now
        changes.setdefault(tuple(sorted(changed)), []).append({"key": row.uid, **changed})
    table: Any = PaperRow.__table__
    for values in changes.values():
        # The connection's own executemany, which leaves the other columns, and with them the index, alone.
        session.connection().execute(update(table).where(table.c.uid == bindparam("key")), values)
    session.expire_all()
    counts.record(session, insert_or, snapshots)
    return sum(map(len, changes.values()))
