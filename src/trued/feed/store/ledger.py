"""Who gets digests, and which have gone out: claimed before they are sent, so that none goes out twice.

Knows addresses, periods and states. Knows nothing of mail, tokens or what a digest contains.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from trued.errors import InputError
from trued.feed.store.database import Database
from trued.feed.store.records import Digest, DigestState, Period, Subscriber, SubscriberState
from trued.feed.store.tables import DigestRow, SubscriberRow


class Ledger(Database):
    """The part of the store that keeps subscribers and digests."""

    def subscriber(self, email: str) -> Subscriber | None:
        """Return the subscriber with this address, or None."""
        with self.reading() as session:
            row = session.get(SubscriberRow, email)
            return None if row is None else _subscriber(row)

    def put_subscriber(self, subscriber: Subscriber) -> None:
        """Keep a subscriber, in place of what was known of the address."""
        row = SubscriberRow(
            email=subscriber.email,
            period=subscriber.period,
            q=subscriber.q,
            state=subscriber.state,
            since=subscriber.since or self.now(),
            nonce=subscriber.nonce,
            reason=subscriber.reason,
        )
        with self.writing() as session:
            session.merge(row)

    def subscribers(
        self, *, state: SubscriberState | None = "active", period: Period | None = None
    ) -> list[Subscriber]:
        """Return the subscribers in a state (None: in any), by address; those of one period, or of all."""
        query = select(SubscriberRow).order_by(SubscriberRow.email)
        if state is not None:
            query = query.filter_by(state=state)
        if period is not None:
            query = query.filter_by(period=period)
        with self.reading() as session:
            return [_subscriber(row) for row in session.scalars(query)]

    def claim_digest(self, email: str, period_key: str) -> bool:
        """Claim the right to send one digest, in a transaction of its own that is on disk when this returns.

        Returns:
            True if it may be sent: nobody has claimed it before, or whoever did settled that it had failed.
        """
        now = self.now()
        claim = self.insert(DigestRow).values(email=email, period_key=period_key, state="claimed", at=now)
        again = claim.on_conflict_do_update(
            index_elements=["email", "period_key"],
            set_={"state": "claimed", "at": claim.excluded["at"]},
            where=DigestRow.state == "failed",
        ).returning(DigestRow.email)
        with self.writing() as session:
            return session.scalar(again) is not None

    def settle_digest(self, email: str, period_key: str, state: DigestState) -> None:
        """Say what became of a digest that was claimed: "sent", or "failed" if it surely did not go out.

        Raises:
            InputError: nobody has claimed it, or `state` is another.
        """
        if state not in ("sent", "failed"):
            raise InputError(f"a digest is settled as 'sent' or 'failed', not as {state!r}")
        settled = (
            update(DigestRow)
            .where(DigestRow.email == email, DigestRow.period_key == period_key)
            .values(state=state, at=self.now())
            .returning(DigestRow.email)
        )
        with self.writing() as session:
            if session.scalar(settled) is None:
                raise InputError(f"no digest of {period_key} for {email} was claimed; claim it before it is sent")

    def digests(self, email: str | None = None) -> list[Digest]:
        """Return the ledger, of one address or of all, in the order of its last changes."""
        query = select(DigestRow).order_by(DigestRow.at, DigestRow.email, DigestRow.period_key)
        if email is not None:
            query = query.filter_by(email=email)
        with self.reading() as session:
            return [_digest(row) for row in session.scalars(query)]


def _subscriber(row: Any) -> Subscriber:
    return Subscriber(row.email, row.period, row.q, row.state, row.since, row.nonce, row.reason)


def _digest(row: Any) -> Digest:
    return Digest(row.email, row.period_key, row.state, row.at)
