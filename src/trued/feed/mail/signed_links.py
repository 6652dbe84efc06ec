"""Signed tickets in links: what an address asked for, and that whoever brings the ticket reads that address's mail.

Knows signatures and the clock. Knows nothing of subscribers or of mail. HMAC-SHA256 over JSON; a ticket for one purpose
is none for another.
"""

from __future__ import annotations

import binascii
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

from trued.errors import InputError
from trued.feed.store.records import Period, utc_now

Purpose = Literal["confirm", "unsubscribe"]
LONGEST = 4_000  # characters
# A confirmation is asked for and given at once. Leaving has to work from the oldest mail in the box.
LIFETIMES: dict[Purpose, timedelta] = {"confirm": timedelta(hours=48), "unsubscribe": timedelta(days=3650)}
_REMEDY = {"confirm": "subscribe again, and a new one is sent", "unsubscribe": "use the link in a later mail"}


@dataclass(frozen=True)
class Ticket:
    """What a ticket says.

    Args:
        nonce: of the request that it answers; it is void once there is a later one.
    """

    email: str
    period: Period = "daily"
    q: str | None = None
    nonce: str = ""


def sign(ticket: Ticket, purpose: Purpose, *, secret: str, now: datetime) -> str:
    """Return a ticket as a word that fits into a link."""
    expires = int((now + LIFETIMES[purpose]).timestamp())
    payload = json.dumps([*astuple(ticket), expires], ensure_ascii=False, separators=(",", ":")).encode()
    return f"{_encode(payload)}.{_encode(_signature(payload, purpose, secret))}"


def open_ticket(token: str, purpose: Purpose, *, secret: str, now: datetime | None = None) -> Ticket:
    """Return what a ticket says, if it is genuine and not out of date.

    Args:
        now: the present, unless it is told.

    Raises:
        InputError: it is neither, or for another purpose.
    """
    payload, _, signature = token.strip().partition(".")
    try:
        if len(token) > LONGEST:
            raise ValueError("too long")
        told, seal = _decode(payload), _decode(signature)
        genuine = hmac.compare_digest(seal, _signature(told, purpose, secret))
    except (ValueError, binascii.Error):
        genuine, told = False, b""
    if not genuine:
        raise InputError(f"the link is not one of ours, or was cut off; copy it whole, or {_REMEDY[purpose]}")
    *values, expires = json.loads(told)
    if (now or utc_now()).timestamp() >= expires:
        raise InputError(f"the link is out of date (it was good for {_lifetime(purpose)}); {_REMEDY[purpose]}")
    return Ticket(*values)


def _signature(payload: bytes, purpose: Purpose, secret: str) -> bytes:
    return hmac.new(secret.encode(), f"trued {purpose}\n".encode() + payload, sha256).digest()


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    if not text.isascii():
        raise ValueError("not ASCII")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _lifetime(purpose: Purpose) -> str:
    hours = LIFETIMES[purpose] // timedelta(hours=1)
    return f"{hours} hours" if hours < 24 * 14 else f"{hours // 24} days"
