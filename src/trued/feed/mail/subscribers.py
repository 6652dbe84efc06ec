"""Who gets digests: requested by anyone, begun by whoever reads the mailbox, ended by one click.

    (nothing) ──request──▶ pending ──confirm──▶ active ──unsubscribe──▶ gone
                              ▲                   │ ▲                     │
                              │                   │ └──request, confirm───┤
                              └──────request──── bounced ◀──refused by the mail server for good

A request changes nothing of an active subscription until it is confirmed: the link in the mail carries what was asked
for. Knows subscribers, links and the mail that requests confirmation. Knows nothing of digests or pages.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from hashlib import sha256
from typing import get_args
from urllib.parse import quote

from trued.errors import InputError
from trued.feed.mail.render import confirmation
from trued.feed.mail.settings import MailServer, email_address
from trued.feed.mail.signed_links import Purpose, SubscriptionLink, sign, verify
from trued.feed.mail.smtp import SmtpClient
from trued.feed.store.ledger import Ledger
from trued.feed.store.records import Period, Subscriber

__all__ = [
    "Purpose",
    "SubscriptionLink",
    "bounce",
    "confirm",
    "leave",
    "request_subscription",
    "unsubscribe",
    "unsubscribe_link",
    "verify",
]  # fmt: skip

LONGEST_QUERY = 400  # characters
AGAIN_AFTER = 10  # minutes, before another confirmation goes to the same address
MOST_A_DAY = 3  # confirmations to one address
_CONFIRM = "confirm/"


def request_subscription(
    store: Ledger,
    email: str,
    period: str = "daily",
    q: str | None = None,
    *,
    secret: str,
    base_url: str | None,
    smtp: SmtpClient | None = None,
) -> None:
    """Send a mail that asks an address whether it wants digests.

    It ends in the same way whatever is known of the address, so that nobody learns who subscribes. An address gets one
    such mail in ten minutes and three in a day, however often somebody asks.

    Args:
        q: the search whose new papers it is to get; None: the trending ones.
        base_url: of the page, for the link; None: the mail tells the command to give instead.
        smtp: where the mail goes; the server that the environment names if None.

    Raises:
        InputError: the address, the period or the search does not do, or no mail can be sent.
    """
    email = email_address(email)
    if period not in get_args(Period):
        raise InputError(f"a digest comes daily or weekly, not {period[:40]!r}; give one of the two")
    q = " ".join((q or "").split()) or None
    if q is not None and (len(q) > LONGEST_QUERY or not q.isprintable()):
        raise InputError(f"the search {q[:40]!r} does not do; give up to {LONGEST_QUERY} letters")
    if smtp is None:
        with SmtpClient(MailServer.from_environment()) as smtp:
            request_subscription(store, email, period, q, secret=secret, base_url=base_url, smtp=smtp)
        return
    now = store.now()
    if _asked_today(store, email, now) >= MOST_A_DAY:
        return
    key = f"{_CONFIRM}{now:%Y-%m-%dT%H}:{now.minute // AGAIN_AFTER * AGAIN_AFTER:02}"
    if not store.claim_digest(email, key):
        return
    subscription = SubscriptionLink(email, period, q, nonce=secrets.token_urlsafe(9))  # pyright: ignore[reportArgumentType]
    known = store.subscriber(email)
    if known is not None and known.state == "active":
        store.put_subscriber(replace(known, nonce=subscription.nonce))
    else:
        store.put_subscriber(Subscriber(email, subscription.period, q, "pending", now, subscription.nonce))
    sent = False
    try:
        outcome = smtp.send(_asking(subscription, smtp.server, secret, base_url, now), email)
        sent = outcome.state in ("sent", "unknown")
    finally:
        store.settle_digest(email, key, "sent" if sent else "failed")
    if outcome.state == "refused":
        bounce(store, email, outcome.reason)
    elif outcome.state in ("later", "declined"):
        raise InputError(f"the mail server takes no mail at the moment ({outcome.reason}); try again later")


def confirm(store: Ledger, token: str, *, secret: str) -> Subscriber:
    """Begin, or change, the digests that a link requests; a second time changes nothing.

    Raises:
        InputError: the link is not genuine, out of date, or there is a later one.
    """
    now = store.now()
    link = verify(token, "confirm", secret=secret, now=now)
    known = store.subscriber(link.email)
    if known is None or known.nonce != link.nonce or known.state not in ("pending", "active"):
        raise InputError("the link is not the latest one that was sent to this address; subscribe again")
    wanted = replace(known, period=link.period, q=link.q, state="active", reason="")
    if known.state != "active":
        wanted = replace(wanted, since=now)
    if wanted != known:
        store.put_subscriber(wanted)
    return wanted


def unsubscribe(store: Ledger, token: str, *, secret: str) -> str:
    """End the digests to the address that a link names, and return it; a second time changes nothing.

    Raises:
        InputError: the link is not genuine.
    """
    link = verify(token, "unsubscribe", secret=secret, now=store.now())
    leave(store, link.email)
    return link.email


def leave(store: Ledger, email: str) -> bool:
    """End the digests to an address, and return whether it got any, or was about to."""
    known = store.subscriber(email)
    if known is None or known.state not in ("pending", "active"):
        return False
    # The nonce goes with it: a confirmation that is still in the mailbox is void.
    store.put_subscriber(replace(known, state="gone", since=store.now(), nonce=""))
    return True


def unsubscribe_link(email: str, *, secret: str, base_url: str, now: datetime) -> str:
    """Return the link that ends the digests to an address."""
    token = sign(SubscriptionLink(email), "unsubscribe", secret=secret, now=now)
    return f"{base_url}/unsubscribe?token={quote(token, safe='')}"


def bounce(store: Ledger, email: str, reason: str) -> None:
    """Note that the mail server refuses an address for good: nothing more is sent there until it asks again."""
    if (known := store.subscriber(email)) is not None and known.state != "gone":
        store.put_subscriber(replace(known, state="bounced", since=store.now(), reason=reason))


def _asked_today(store: Ledger, email: str, now: datetime) -> int:
    """Return how many confirmations went, or may have gone, to an address in the last 24 hours."""
    since = now - timedelta(days=1)
    return sum(
        digest.period_key.startswith(_CONFIRM) and digest.state != "failed" and digest.at > since
        for digest in store.digests(email)
    )


def _asking(
    subscription: SubscriptionLink, server: MailServer, secret: str, base_url: str | None, now: datetime
) -> EmailMessage:
    token = sign(subscription, "confirm", secret=secret, now=now)
    link = f"{base_url}/subscribe/confirm?token={quote(token, safe='')}" if base_url else None
    name = sha256(f"{subscription.email}\n{subscription.nonce}".encode()).hexdigest()[:32]
    return confirmation(
        subscription, link, token, sender=server.sender, message_id=f"<{name}.confirm@{server.domain}>", date=now,
    )  # fmt: skip
