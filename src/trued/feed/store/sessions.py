"""Sessions that ended before their time: a cookie is signed, so only a list can say that it counts no more."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete

from trued.feed.store.database import Database
from trued.feed.store.tables import FactRow

_PREFIX = "ended session "


class Sessions(Database):
    """The part of the store that keeps which sessions were ended."""

    def end_session(self, session_id: str, until: datetime) -> None:
        """Note that a session counts no more.

        Args:
            until: when its cookie would have ended by itself; after that the note goes.
        """
        row = {"key": f"{_PREFIX}{session_id}", "value": until.astimezone(UTC).isoformat()}
        old = delete(FactRow).where(FactRow.key.startswith(_PREFIX), FactRow.value < self.now().isoformat())
        with self.writing() as session:
            session.execute(old)
            session.execute(self.insert(FactRow).values(row).on_conflict_do_nothing())

    def session_ended(self, session_id: str) -> bool:
        """Tell whether a session was ended."""
        with self.reading() as session:
            return session.get(FactRow, f"{_PREFIX}{session_id}") is not None
