"""Small copies of the pictures that sources name, one a paper, so that a page shows them from its own address.

Knows addresses and bytes. Knows nothing of the network or of pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256

from sqlalchemy import and_, or_, select

from trued.feed.store.database import Database
from trued.feed.store.tables import PaperRow, ThumbnailRow

RETRY = timedelta(days=7)  # after which a picture that could not be shown is looked for again
_AT_ONCE = 500  # addresses in one query


class Thumbnails(Database):
    """The part of the store that keeps pictures."""

    def lacking_thumbnails(self, urls: Iterable[str]) -> dict[int, str]:
        """Return number → address for the papers that name one of these pictures and have no copy of it.

        A picture that could not be shown counts as lacking again after a week.
        """
        urls, lacking = list(dict.fromkeys(urls)), {}
        current = and_(
            ThumbnailRow.url == PaperRow.thumbnail,
            or_(ThumbnailRow.image.is_not(None), ThumbnailRow.at >= self.now() - RETRY),
        )
        query = (
            select(PaperRow.uid, PaperRow.thumbnail)
            .outerjoin(ThumbnailRow, and_(ThumbnailRow.uid == PaperRow.uid, current))
            .where(ThumbnailRow.uid.is_(None))
            .order_by(PaperRow.shown.desc().nulls_last(), PaperRow.uid)
        )
        with self.reading() as session:
            for start in range(0, len(urls), _AT_ONCE):
                batch = urls[start : start + _AT_ONCE]
                lacking |= dict(session.execute(query.where(PaperRow.thumbnail.in_(batch))).tuples().all())
        return lacking

    def set_thumbnail(self, uid: int, url: str, image: bytes | None) -> None:
        """Keep a paper's picture in place of an earlier one; None notes that the address has none to show."""
        digest = sha256(image).hexdigest()[:12] if image else ""
        values = {"url": url, "digest": digest, "image": image or None, "at": self.now()}
        statement = self.insert(ThumbnailRow).values(uid=uid, **values)
        with self.writing() as session:
            session.execute(statement.on_conflict_do_update(index_elements=["uid"], set_=values))

    def thumbnail_digests(self, uids: Iterable[int]) -> dict[int, str]:
        """Return number → digest of the picture, for those of these papers that have one."""
        query = select(ThumbnailRow.uid, ThumbnailRow.digest).where(
            ThumbnailRow.uid.in_(list(uids)), ThumbnailRow.digest != ""
        )
        with self.reading() as session:
            return dict(session.execute(query).tuples().all())

    def thumbnail(self, uid: int) -> bytes | None:
        """Return a paper's picture as WebP, or None."""
        with self.reading() as session:
            return session.scalar(select(ThumbnailRow.image).filter_by(uid=uid))
