"""Digests: what came in since the last one, to everyone who subscribed, and to nobody twice.

The ledger is written before a mail is handed in ("claimed") and after ("sent"). A process that is killed in between
leaves "claimed", which is never sent again: at worst a digest is lost, and `trued papers doctor` names it. A mail that
surely did not go out is settled as "failed", and the next run tries again.

Knows periods, the ledger and outcomes. Knows nothing of SMTP or of how a mail looks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from trued.errors import InputError
from trued.feed.mail.render import DigestContent, items, render_mail
from trued.feed.mail.smtp import MailServerError, SmtpClient
from trued.feed.mail.subscribers import bounce, unsubscribe_link
from trued.feed.search.selection import Selection
from trued.feed.spans import Span, last_complete, span_of
from trued.feed.store.records import Digest, Filters, Period, StoredPaper, Subscriber

if TYPE_CHECKING:
    from trued.feed.paper_store import PaperStore

CATCH_UP = 14  # days that a digest reaches back at most, after days on which none could be sent
MOST = 20  # papers
SEEN = 1_000  # papers that are looked through for their number


@dataclass
class Delivery:
    """What became of a round of digests: addresses, and why for those that got none.

    Args:
        sent: got one.
        nothing: nothing came in for them.
        had: have had theirs, or are being served by another process.
        failed: address and reason; the next run tries again, unless the address is refused for good.
    """

    sent: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    had: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def send_digests(
    store: PaperStore,
    smtp: SmtpClient,
    *,
    secret: str,
    base_url: str,
    period: Period | None = None,
    most: int = MOST,
    always: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Delivery:
    """Send every active subscriber the digest of the last day or week that is over (UTC), once.

    Args:
        base_url: of the page, for the links that end a subscription.
        period: only the daily ones or the weekly ones.
        most: papers in one digest.
        always: write also to those for whom nothing came in.
        progress: is called with (done, total) after each address.

    Raises:
        MailServerError: the mail server takes no mail from this sender at all.
    """
    turn = _Round(store, smtp, secret, base_url, most, always)
    addressees = store.subscribers(period=period)
    for done, subscriber in enumerate(addressees, start=1):
        turn.serve(subscriber.email)
        if progress is not None:
            progress(done, len(addressees))
    return turn.delivery


def due(ledger: Iterable[Digest], period: Period, now: datetime) -> Span | None:
    """Return the days that the next digest covers, from the day after the last one on, or None if none is due.

    Its key is the last day or week; after days without a digest it begins earlier, `CATCH_UP` days at most.
    """
    last = last_complete(period, now)
    covered = max((day for digest in ledger if (day := _covered(digest)) is not None), default=None)
    if covered is None:
        return last
    if covered >= last.last:
        return None
    earliest = last.last - timedelta(days=CATCH_UP - 1)
    return replace(last, first=max(earliest, covered + timedelta(days=1)))


def compose_digest(
    papers: Sequence[StoredPaper],
    query: str,
    *,
    to: str,
    sender: str,
    when: str,
    key: str,
    now: datetime,
    most: int = MOST,
    base_url: str | None = None,
    unsubscribe: str = "",
) -> EmailMessage:
    """Return a digest of papers as a mail.

    Args:
        query: the search that found them, or "".
        key: of the period; with the address it makes the Message-ID, which is the same for the same digest.
        when: the days that it covers, such as "the last 7 days".
        most: how many papers it shows; of the others it says how many they are.
    """
    content = DigestContent(
        heading=f"New papers for “{query}”" if query else "Trending papers",
        when=when,
        items=items(papers[:most], base_url),
        left_out=max(0, len(papers) - most),
        page=f"{base_url}/search?{urlencode({'q': query})}" if base_url and query else base_url or "",
        unsubscribe=unsubscribe,
    )
    name = sha256(f"{to}\n{key}".encode()).hexdigest()[:32]
    domain = sender.rstrip("> ").rpartition("@")[2]
    return render_mail(content, to=to, sender=sender, message_id=f"<{name}.digest@{domain}>", date=now)


def hand_in(
    store: PaperStore, smtp: SmtpClient, message: EmailMessage, email: str, key: str, delivery: Delivery
) -> None:  # fmt: skip
    """Hand in a digest that was claimed, and settle it.

    Raises:
        MailServerError: the mail server takes no mail from this sender at all; the digest is settled as failed.
    """
    try:
        outcome = smtp.send(message, email)
    except MailServerError:
        store.settle_digest(email, key, "failed")
        raise
    except Exception as error:  # of this one mail, such as one that cannot be put into bytes
        store.settle_digest(email, key, "failed")
        _fail(delivery, email, error)
        return
    if outcome.state == "sent":
        store.settle_digest(email, key, "sent")
        delivery.sent.append(email)
        return
    delivery.failed.append((email, outcome.reason))
    if outcome.state != "unknown":  # an unknown one stays claimed
        store.settle_digest(email, key, "failed")
    if outcome.state == "refused":
        bounce(store, email, outcome.reason)


def key_of(days: int, selection: Selection, today: date) -> str:
    """Return the ledger's key for a digest that nobody subscribed to: one a day for one choice of papers."""
    choice = sha256(f"{selection.q}\n{selection.filters.tag or ''}".encode()).hexdigest()[:8]
    return f"{today}/{days}d/{choice}"


@dataclass
class _Round:
    """One round of digests. Subscribers to the same papers share one query of the store."""

    store: PaperStore
    smtp: SmtpClient
    secret: str
    base_url: str
    most: int
    always: bool
    delivery: Delivery = field(default_factory=Delivery)
    found: dict[Selection, list[StoredPaper]] = field(default_factory=dict)

    def serve(self, email: str) -> None:
        """Send one subscriber what is due, and write down what became of it."""
        subscriber = self.store.subscriber(email)
        if subscriber is None or subscriber.state != "active":  # left while the others were served
            return
        now = self.store.now()
        span = due(self.store.digests(email), subscriber.period, now)
        if span is None:
            self.delivery.had.append(email)
            return
        try:
            papers = self._papers(subscriber, span)
            if not papers and not self.always:
                self.delivery.nothing.append(email)
                return
            message = compose_digest(
                papers, subscriber.q or "", to=email, sender=self.smtp.server.sender, when=str(span), key=span.key,
                now=now, most=self.most, base_url=self.base_url,
                unsubscribe=unsubscribe_link(email, secret=self.secret, base_url=self.base_url, now=now),
            )  # fmt: skip
        except Exception as error:  # one subscriber's search or mail must not end the round for the others
            _fail(self.delivery, email, error)
            return
        if self.store.claim_digest(email, span.key):
            hand_in(self.store, self.smtp, message, email, span.key, self.delivery)
        else:
            self.delivery.had.append(email)

    def _papers(self, subscriber: Subscriber, span: Span) -> list[StoredPaper]:
        selection = Selection(
            subscriber.q or "",
            order="relevance" if subscriber.q else "trending",
            filters=Filters(arrived_since=span.since, arrived_before=span.before),
            limit=SEEN,
            person="a subscriber",  # nobody's tags and marks: a search by mail must not tell the owner's
        )
        if selection not in self.found:
            self.found[selection] = selection.papers(self.store)
        return self.found[selection]


def _fail(delivery: Delivery, email: str, error: Exception) -> None:
    """Note a digest that could not be made; what is not a plain sentence is logged with its traceback."""
    if not isinstance(error, InputError):
        logging.getLogger(__name__).error("the digest for %s could not be made", email, exc_info=error)
    delivery.failed.append((email, " ".join(str(error).split()) or type(error).__name__))


def _covered(digest: Digest) -> date | None:
    """Return the last day that a digest covered, or None if it covers none: it failed, or is another kind of mail."""
    if digest.state == "failed":
        return None
    try:
        return span_of(digest.period_key).last
    except InputError:
        return None
