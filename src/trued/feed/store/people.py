"""What people leave beside papers: upvotes, comments, bookmarks, tags, notes, what they have read, searches they keep.

Knows people by an opaque id, and papers by their number. Knows nothing of accounts or of what a person may do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trued.errors import InputError
from trued.feed.store import counts
from trued.feed.store.database import Database
from trued.feed.store.merge import INVISIBLE
from trued.feed.store.records import LONGEST_TAG, Comment, Marks, SavedQuery, StoredPaper
from trued.feed.store.rows import stored
from trued.feed.store.tables import (
    BookmarkRow,
    CommentRow,
    NoteRow,
    PaperRow,
    ReadRow,
    SavedQueryRow,
    TagRow,
    VoteRow,
)  # fmt: skip

LONGEST = {"comment": 10_000, "note": 50_000, "tag": LONGEST_TAG, "query": 1_000, "name": 200}  # characters


class People(Database):
    """The part of the store that people write to."""

    def vote(self, person: str, uid: int, on: bool = True) -> int:
        """Upvote a paper, or take the upvote back; returns how many upvotes of this store it has now."""
        with self.writing() as session:
            self._put(session, VoteRow, on, person=_person(person), uid=uid)
            votes = session.scalar(select(func.count()).select_from(VoteRow).filter_by(uid=uid)) or 0
            self._recount(session, uid, votes=votes)
            return votes

    def comment(self, person: str, uid: int, text: str) -> Comment:
        """Add a comment; it is kept as it is written, line breaks included."""
        text = _text(text, "comment", lines=True)
        with self.writing() as session:
            self._require(session, uid)
            row = CommentRow(uid=uid, person=_person(person), text=text, at=self.now())
            session.add(row)
            session.flush()
            remarks = session.scalar(select(func.count()).select_from(CommentRow).filter_by(uid=uid)) or 0
            self._recount(session, uid, remarks=remarks)
            return _comment(row)

    def comments(self, uid: int) -> list[Comment]:
        """Return the comments on a paper, the oldest first."""
        with self.reading() as session:
            self._require(session, uid)
            return [
                _comment(row) for row in session.scalars(select(CommentRow).filter_by(uid=uid).order_by(CommentRow.id))
            ]

    def bookmark(self, person: str, uid: int, on: bool = True) -> None:
        """Set or remove a bookmark."""
        with self.writing() as session:
            self._put(session, BookmarkRow, on, person=_person(person), uid=uid)

    def bookmarks(self, person: str) -> list[StoredPaper]:
        """Return a person's bookmarks, the latest first."""
        query = (
            select(PaperRow)
            .join(BookmarkRow, BookmarkRow.uid == PaperRow.uid)
            .where(BookmarkRow.person == person)
            .order_by(BookmarkRow.at.desc(), PaperRow.uid.desc())
        )
        with self.reading() as session:
            return [stored(row, self.now()) for row in session.scalars(query)]

    def tag(self, person: str, uid: int, tag: str, on: bool = True) -> None:
        """Set or remove a tag; case and outer blanks don't matter."""
        with self.writing() as session:
            self._put(session, TagRow, on, person=_person(person), tag=tag_name(tag), uid=uid)

    def tags(self, person: str) -> dict[str, int]:
        """Return tag → how many papers bear it, in alphabetical order."""
        query = select(TagRow.tag, func.count()).filter_by(person=person).group_by(TagRow.tag).order_by(TagRow.tag)
        with self.reading() as session:
            return dict(session.execute(query).tuples().all())

    def note(self, person: str, uid: int, text: str) -> None:
        """Keep a person's note on a paper in place of the earlier one; an empty one removes it."""
        person, text = _person(person), INVISIBLE.sub("", text).strip()
        if text:
            text = _text(text, "note", lines=True)
        with self.writing() as session:
            self._require(session, uid)
            session.execute(delete(NoteRow).filter_by(person=person, uid=uid))
            if text:
                session.add(NoteRow(person=person, uid=uid, text=text, at=self.now()))

    def note_of(self, person: str, uid: int) -> str:
        """Return a person's note on a paper, or an empty text."""
        with self.reading() as session:
            self._require(session, uid)
            return session.scalar(select(NoteRow.text).filter_by(person=person, uid=uid)) or ""

    def mark_read(self, person: str, uid: int, on: bool = True) -> None:
        """Mark a paper as read, or as unread again."""
        with self.writing() as session:
            self._put(session, ReadRow, on, person=_person(person), uid=uid)

    def marks(self, person: str, uids: Iterable[int]) -> dict[int, Marks]:
        """Return what a person left beside each of these papers."""
        uids = list(uids)
        with self.reading() as session:

            def rows_of(table: Any, *values: Any) -> list[Any]:
                query = select(table.uid, *values).where(table.person == person, table.uid.in_(uids))
                return list(session.execute(query.order_by(*values)))

            voted, bookmarked, read = ({row.uid for row in rows_of(table)} for table in (VoteRow, BookmarkRow, ReadRow))
            notes = {row.uid: row.text for row in rows_of(NoteRow, NoteRow.text)}
            tags: dict[int, list[str]] = {}
            for row in rows_of(TagRow, TagRow.tag):
                tags.setdefault(row.uid, []).append(row.tag)
        return {
            uid: Marks(uid in voted, uid in bookmarked, uid in read, tuple(tags.get(uid, ())), notes.get(uid, ""))
            for uid in uids
        }

    def save_query(self, person: str, name: str, q: str) -> None:
        """Keep a search under a name, in place of an earlier one of that name; an empty one removes it."""
        person, name, q = _person(person), _text(name, "name"), " ".join(q.split())
        if q:
            _text(q, "query")
        with self.writing() as session:
            session.execute(delete(SavedQueryRow).filter_by(person=person, name=name))
            if q:
                session.add(SavedQueryRow(person=person, name=name, q=q))

    def saved_queries(self, person: str) -> list[SavedQuery]:
        """Return the searches that a person keeps, by name."""
        query = select(SavedQueryRow).filter_by(person=person).order_by(SavedQueryRow.name)
        with self.reading() as session:
            return [SavedQuery(row.name, row.q) for row in session.scalars(query)]

    def _put(self, session: Session, table: Any, on: bool, **key: Any) -> None:
        """Set or remove a mark; doing it twice does no harm."""
        self._require(session, key["uid"])
        if on:
            session.execute(self.insert(table).values(**key, at=self.now()).on_conflict_do_nothing())
        else:
            session.execute(delete(table).filter_by(**key))

    def _recount(self, session: Session, uid: int, **totals: int) -> None:
        """Write new counts of this store into the paper, its snapshot of today and its heat."""
        row = session.get_one(PaperRow, uid)
        votes, remarks = totals.get("votes", row.votes), totals.get("remarks", row.remarks)
        popularity, comments = (row.upvotes or 0) + votes, (row.comments or 0) + remarks
        session.execute(update(PaperRow).filter_by(uid=uid).values(votes=votes, remarks=remarks, popularity=popularity))
        now = self.now()
        snapshot = {"uid": uid, "day": now.date(), "at": now, "upvotes": popularity, "comments": comments}
        counts.record(session, self.insert, [snapshot])

    def _require(self, session: Session, uid: int) -> None:
        if not isinstance(uid, int) or session.scalar(select(PaperRow.uid).filter_by(uid=uid)) is None:
            raise InputError(f"there is no paper number {uid} in the store; `trued papers search` shows the numbers")


def tag_name(tag: str) -> str:
    """Return a tag as it is kept: on one line, in lower case.

    Raises:
        InputError: it is empty or too long.
    """
    return _text(tag, "tag").casefold()


def _comment(row: CommentRow) -> Comment:
    return Comment(row.id, row.person, row.text, row.at)


def _person(person: str) -> str:
    if not person or not person.strip():
        raise InputError("the person's id is empty; sign in, or use 'owner' for a store without accounts")
    return person


def _text(text: str, what: str, *, lines: bool = False) -> str:
    text = INVISIBLE.sub("", text)
    text = text.replace("\r\n", "\n").strip() if lines else " ".join(text.split())
    if not text:
        raise InputError(f"the {what} is empty; write at least one character")
    if len(text) > LONGEST[what]:
        raise InputError(f"the {what} has {len(text):,} characters; at most {LONGEST[what]:,} are kept")
    return text
