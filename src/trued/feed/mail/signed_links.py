"""Signed links in mails: what an address requested, and proof that whoever follows the link reads that address's mail.

A token is itsdangerous' URL-safe serialisation, signed with HMAC-SHA256. A token for one purpose does not verify for
another.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

from itsdangerous import BadData, URLSafeSerializer

from trued.errors import InputError
from trued.feed.store.records import Period, utc_now

Purpose = Literal["confirm", "unsubscribe"]
LONGEST = 4_000  # characters
# A confirmation is requested and given at once. Leaving has to work from the oldest mail in the box.
LIFETIMES: dict[Purpose, timedelta] = {"confirm": timedelta(hours=48), "unsubscribe": timedelta(days=3650)}
_REMEDY = {"confirm": "subscribe again, and a new one is sent", "unsubscribe": "use the link in a later mail"}


@dataclass(frozen=True)
class SubscriptionLink:
    """What a link in a mail says.

    Args:
        nonce: of the request that it answers; the link is void once there is a later request.
    """

    email: str
    period: Period = "daily"
    q: str | None = None
    nonce: str = ""


def sign(link: SubscriptionLink, purpose: Purpose, *, secret: str, now: datetime) -> str:
    """Return the token for a link."""
    expires = int((now + LIFETIMES[purpose]).timestamp())
    return str(_serializer(purpose, secret).dumps([*astuple(link), expires]))


def verify(token: str, purpose: Purpose, *, secret: str, now: datetime | None = None) -> SubscriptionLink:
    """Return what a token says, if it is genuine and not out of date.

    Args:
        now: the present moment; by the clock if None.

    Raises:
        InputError: it is neither, or for another purpose.
    """
    try:
        if len(token) > LONGEST:
            raise BadData("too long")
        *values, expires = _serializer(purpose, secret).loads(token.strip())
    except (BadData, ValueError):
        raise InputError(f"the link is not one of ours, or was cut off; copy it whole, or {_REMEDY[purpose]}") from None
    if (now or utc_now()).timestamp() >= expires:
        raise InputError(f"the link is out of date (it was good for {_lifetime(purpose)}); {_REMEDY[purpose]}")
    return SubscriptionLink(*values)


def _serializer(purpose: Purpose, secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt=f"trued {purpose}", signer_kwargs={"digest_method": sha256})


def _lifetime(purpose: Purpose) -> str:
    hours = LIFETIMES[purpose] // timedelta(hours=1)
    return f"{hours} hours" if hours < 24 * 14 else f"{hours // 24} days"
