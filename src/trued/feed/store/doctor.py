"""Is the store sound: its file, its index, its counts, its ledger, its vectors.

Knows what must be true between the tables. Repairs nothing; each finding says what would.
"""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from trued.feed.store import counts
from trued.feed.store.merge import title_key
from trued.feed.store.tables import CommentRow, DigestRow, PaperRow, SnapshotRow, VoteRow

PATIENCE = timedelta(hours=1)  # a digest that was claimed longer ago will not be settled any more
NAMED = 3  # papers or addresses in one finding


def of_file(session: Session) -> list[str]:
    """Return what is wrong with an SQLite file and its full-text index."""
    findings = []
    for line in session.execute(text("PRAGMA quick_check")).scalars():
        if line != "ok":
            findings.append(
                f"the file is damaged ({line}): restore it from a copy, or ingest the sources again into a new one"
            )
    broken = len(session.execute(text("PRAGMA foreign_key_check")).all())
    if broken:
        findings.append(f"{broken} rows belong to papers that are gone: the file was changed past trued")
    mode = session.execute(text("PRAGMA journal_mode")).scalar()
    if mode not in ("wal", "memory"):
        findings.append(
            f"the journal is {mode!r} and not 'wal': pages wait while a sync writes; is the file on a network drive?"
        )
    try:
        session.execute(text("INSERT INTO papers_fts(papers_fts, rank) VALUES ('integrity-check', 1)"))
    except DatabaseError as error:
        findings.append(
            f"the full-text index does not agree with the papers ({error.orig}): rebuild it with "
            "INSERT INTO papers_fts(papers_fts) VALUES ('rebuild')"
        )
    return findings


def of_permissions(path: Path) -> list[str]:
    """Return whether others on this machine may read the store, which contains subscribers' addresses and notes."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return []
    if mode & 0o077 == 0:
        return []
    return [f"{path} can be read by other users of this machine ({mode:o}), and it contains addresses: chmod 600 it"]


def of_papers(session: Session, now: datetime) -> list[str]:
    """Return what is wrong with papers: keys that don't follow from titles, dates to come, counts that don't add up."""
    findings = []
    query = select(PaperRow.uid, PaperRow.title, PaperRow.title_key)
    stale = [row.uid for row in session.execute(query) if title_key(row.title) != row.title_key]
    if stale:
        findings.append(f"{_papers(stale)} under a title key of another version: ingest them again")
    ahead = list(session.scalars(select(PaperRow.uid).where(PaperRow.shown > now.date() + timedelta(days=2))))
    if ahead:
        findings.append(f"{_papers(ahead)} dated to come: is this machine's clock right ({now:%Y-%m-%d %H:%M} UTC)?")
    for name, table in (("votes", VoteRow), ("remarks", CommentRow)):
        counted = select(table.uid, func.count().label("n")).group_by(table.uid).subquery()
        column = getattr(PaperRow, name)
        wrong = (
            select(PaperRow.uid)
            .outerjoin(counted, counted.c.uid == PaperRow.uid)
            .where(column != func.coalesce(counted.c.n, 0))
        )
        if uids := list(session.scalars(wrong)):
            findings.append(
                f"{_papers(uids)} with a count of {name} that is not that of its rows: vote or comment once more"
            )
    missed = [row.uid for row in counts.unrecorded(session)]
    if missed:
        findings.append(f"{_papers(missed)} with counts that no snapshot has: `trued papers sync` keeps today's")
    return findings + _heat(session)


def of_ledger(session: Session, now: datetime) -> list[str]:
    """Return which digests were claimed and never settled: their sender was killed, before or after it sent them."""
    query = select(DigestRow).where(DigestRow.state == "claimed", DigestRow.at < now - PATIENCE)
    stuck = [f"{row.period_key} to {row.email}" for row in session.scalars(query.order_by(DigestRow.at))]
    if not stuck:
        return []
    begun, sender, it = ("digest was", "its", "it is") if len(stuck) == 1 else ("digests were", "their", "they are")
    return [
        f"{len(stuck)} {begun} begun and never settled ({_some(stuck)}): {sender} sender was cut off, and {it} not "
        f"sent again lest {'it come' if len(stuck) == 1 else 'they come'} twice"
    ]


def _heat(session: Session) -> list[str]:
    uids = list(session.scalars(select(SnapshotRow.uid).distinct()))
    worked_out = counts.heats(session, uids)
    stored = dict(session.execute(select(PaperRow.uid, PaperRow.heat).where(PaperRow.heat.is_not(None))).tuples().all())
    wrong = [uid for uid in worked_out.keys() | stored.keys() if not _close(worked_out.get(uid), stored.get(uid))]
    return [f"{_papers(sorted(wrong))} with a trending score that does not follow from the snapshots"] if wrong else []


def _close(value: float | None, other: float | None) -> bool:
    return value is other if value is None or other is None else abs(value - other) < 1e-6


def _papers(uids: list[int]) -> str:
    return f"{len(uids)} papers ({_some([str(uid) for uid in uids])}) are" if len(uids) > 1 else f"paper {uids[0]} is"


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
