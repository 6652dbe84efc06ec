"""Upvotes and comments over time: a snapshot on each day that they change, and the heat that follows from them.

Knows snapshots and the clock. Knows nothing of who voted.

The first count ever seen of a paper is dated to the end of the day of its listing or publication, if that has passed:
what an old paper gathered before it came in is no news today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from trued.feed import trending
from trued.feed.store.tables import PaperRow, SnapshotRow

AT_ONCE = 500  # uids in one query


def first_sight(day: date | None, now: datetime) -> datetime:
    """Return the time to which the first counts of a paper are dated."""
    return now if day is None else min(now, end_of(day))


def end_of(day: date) -> datetime:
    """Return the end of a day in UTC."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) - timedelta(seconds=1)


def record(session: Session, insert: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep snapshots, in place of earlier ones of the same days, and work out the heat of their papers anew.

    Args:
        insert: `Database.insert`, for this database's kind of INSERT.
        rows: with uid, day, at, upvotes and comments.
    """
    rows = list(rows)
    if not rows:
        return
    statement = insert(SnapshotRow)
    values = {name: statement.excluded[name] for name in ("at", "upvotes", "comments")}
    session.execute(statement.on_conflict_do_update(index_elements=["uid", "day"], set_=values), rows)
    reheat(session, [row["uid"] for row in rows])


def reheat(session: Session, uids: Iterable[int]) -> None:
    """Work out the heat of papers from their snapshots."""
    values = [{"key": uid, "heat": value} for uid, value in heats(session, uids).items()]
    if values:
        # The connection's own executemany: the session's would look for the rows' objects.
        table: Any = PaperRow.__table__
        session.connection().execute(update(table).where(table.c.uid == bindparam("key")), values)


def heats(session: Session, uids: Iterable[int]) -> dict[int, float | None]:
    """Return uid → heat, from the snapshots that are kept."""
    by_uid: dict[int, float | None] = {}
    uids = list(uids)
    for start in range(0, len(uids), AT_ONCE):
        batch = uids[start : start + AT_ONCE]
        query = (
            select(SnapshotRow.uid, SnapshotRow.at, SnapshotRow.upvotes, SnapshotRow.comments)
            .where(SnapshotRow.uid.in_(batch))
            .order_by(SnapshotRow.uid, SnapshotRow.day)
        )
        by_uid |= dict.fromkeys(batch)
        for uid, group in groupby(session.execute(query), key=lambda row: row.uid):
            by_uid[uid] = trending.heat((row.at, row.upvotes, row.comments) for row in group)
    return by_uid


def unrecorded(session: Session) -> list[Any]:
    """Return (uid, upvotes, comments) of the papers whose counts differ from their latest snapshot."""
    latest = (
        select(SnapshotRow.uid, func.max(SnapshotRow.day).label("day")).group_by(SnapshotRow.uid).subquery("latest")
    )
    total = func.coalesce(PaperRow.comments, 0) + PaperRow.remarks
    query = (
        select(PaperRow.uid, PaperRow.popularity.label("upvotes"), total.label("comments"))
        .outerjoin(latest, latest.c.uid == PaperRow.uid)
        .outerjoin(SnapshotRow, (SnapshotRow.uid == latest.c.uid) & (SnapshotRow.day == latest.c.day))
        .where(
            (PaperRow.popularity != func.coalesce(SnapshotRow.upvotes, 0))
            | (total != func.coalesce(SnapshotRow.comments, 0))
        )
    )
    return list(session.execute(query))
