"""The tables of the daily papers, as SQLAlchemy sees them; the migrations make them.

Knows columns and keys. Knows nothing of what is written or when. The full-text index is not here: each database has
its own kind, see the first migration.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, ForeignKey, Index, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0002"  # the migration that this file agrees with


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, kept and given back in UTC; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[Any]: JSON, datetime: UtcDateTime}


class PaperRow(Base):
    """One paper. The fields of the dataclass `FeedPaper`, and what finding and ordering need beside it.

    Attributes:
        title_key: the title without case, punctuation and TeX; see `trued.feed.store.merge.title_key`.
        names: the authors' names on one line, for the full-text index.
        subjects: the categories on one line, each between blanks, for LIKE.
        origin: field → the source that gave it.
        day: the latest day whose listing had the paper; `shown` is that, or the day of publication.
        votes, remarks: how many people of this store upvoted it and commented on it.
        popularity: upvotes of the sources and of this store.
        heat: the logarithm of the trending score, carried back to a fixed epoch; see `trued.feed.trending`.
        stamp: rises with each change of title or abstract, over all papers: what the vectors have yet to follow.
    """

    __tablename__ = "papers"
    uid: Mapped[int] = mapped_column(primary_key=True)
    arxiv: Mapped[str | None] = mapped_column(unique=True)
    version: Mapped[int | None]
    title: Mapped[str]
    title_key: Mapped[str] = mapped_column(index=True)
    abstract: Mapped[str]
    names: Mapped[str]
    authors: Mapped[list[Any]]
    authors_count: Mapped[int | None]
    organization: Mapped[str | None]
    published: Mapped[date | None] = mapped_column(index=True)
    date_inferred: Mapped[bool]
    upvotes: Mapped[int | None]
    comments: Mapped[int | None]
    categories: Mapped[list[Any]]
    subjects: Mapped[str]
    links: Mapped[list[Any]]
    has_code: Mapped[bool]
    doi: Mapped[str | None]
    journal: Mapped[str | None]
    source: Mapped[str]
    rank: Mapped[int | None]
    submitted_by: Mapped[str | None]
    thumbnail: Mapped[str | None]
    extra: Mapped[dict[str, Any]]
    origin: Mapped[dict[str, Any]]
    day: Mapped[date | None]
    shown: Mapped[date | None] = mapped_column(index=True)
    votes: Mapped[int] = mapped_column(default=0)
    remarks: Mapped[int] = mapped_column(default=0)
    popularity: Mapped[int] = mapped_column(index=True, default=0)
    heat: Mapped[float | None] = mapped_column(index=True)
    stamp: Mapped[int] = mapped_column(index=True)
    first_seen: Mapped[datetime]
    changed: Mapped[datetime]
    __table_args__ = (Index("ix_papers_day_rank", "day", "rank"),)


def _uid(**options: Any) -> Mapped[int]:
    return mapped_column(ForeignKey("papers.uid", ondelete="CASCADE"), **options)


class SnapshotRow(Base):
    """Upvotes and comments of one paper on one day, sources and store together; a day without a change has none."""

    __tablename__ = "snapshots"
    uid: Mapped[int] = _uid(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    upvotes: Mapped[int]
    comments: Mapped[int]


class VoteRow(Base):
    """One person's upvote."""

    __tablename__ = "votes"
    uid: Mapped[int] = _uid(primary_key=True)
    person: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class CommentRow(Base):
    """One comment."""

    __tablename__ = "comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[int] = _uid(index=True)
    person: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime]


class BookmarkRow(Base):
    """One person's bookmark."""

    __tablename__ = "bookmarks"
    person: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[int] = _uid(primary_key=True)
    at: Mapped[datetime]


class ReadRow(Base):
    """One person has read it."""

    __tablename__ = "reads"
    person: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[int] = _uid(primary_key=True)
    at: Mapped[datetime]


class TagRow(Base):
    """One person's tag."""

    __tablename__ = "tags"
    person: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[int] = _uid(primary_key=True)
    at: Mapped[datetime]


class NoteRow(Base):
    """One person's note."""

    __tablename__ = "notes"
    person: Mapped[str] = mapped_column(primary_key=True)
    uid: Mapped[int] = _uid(primary_key=True)
    text: Mapped[str]
    at: Mapped[datetime]


class SavedQueryRow(Base):
    """A search that a person keeps."""

    __tablename__ = "saved_queries"
    person: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    q: Mapped[str]


class SubscriberRow(Base):
    """An address that requested digests."""

    __tablename__ = "subscribers"
    email: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str]
    q: Mapped[str | None]
    state: Mapped[str] = mapped_column(index=True)
    since: Mapped[datetime]
    nonce: Mapped[str]
    reason: Mapped[str]


class DigestRow(Base):
    """The ledger: one digest of one period to one address, written before it is sent."""

    __tablename__ = "digests"
    email: Mapped[str] = mapped_column(primary_key=True)
    period_key: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    at: Mapped[datetime]


class ThumbnailRow(Base):
    """The small copy of the picture that a source names for a paper.

    Attributes:
        url: where the picture came from; a paper that names another one by now needs a new copy.
        digest: of the image; empty without one.
        image: WebP, or None if what is there is no picture that can be shown.
    """

    __tablename__ = "thumbnails"
    uid: Mapped[int] = _uid(primary_key=True)
    url: Mapped[str]
    digest: Mapped[str]
    image: Mapped[bytes | None]
    at: Mapped[datetime]


class FactRow(Base):
    """What the store knows about itself, such as its id."""

    __tablename__ = "facts"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
