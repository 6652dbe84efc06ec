"""Where mail is handed in, and the addresses that it goes to: what the environment says about them.

Knows environment variables and addresses. Knows nothing of what a mail says. `TRUED_SMTP_URL` names the server:
smtp://user@host:587 with STARTTLS, smtps://user@host:465 with TLS from the first byte. `TRUED_SMTP_PASSWORD` is its
password, else the keyring's with the extra `mail`; `TRUED_MAIL_FROM` is the sender, and `TRUED_PUBLIC_URL`
the address under which readers reach the page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Literal
from urllib.parse import unquote, urlsplit

from trued.errors import InputError

TIMEOUT = 30.0  # seconds for any one reply
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in.

    Args:
        tls: "starttls" before anything else is said, "tls" from the first byte, or "none", for this machine alone.
        sender: the address that mail comes from, with a name if wanted.
    """

    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    timeout: float = TIMEOUT

    @property
    def domain(self) -> str:
        """The domain that mail comes from."""
        return parseaddr(self.sender)[1].rpartition("@")[2]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> MailServer:
        """Return the server that the environment names.

        Raises:
            InputError: it names none, or what it says doesn't fit together.
        """
        url, sender = environment.get("TRUED_SMTP_URL", ""), environment.get("TRUED_MAIL_FROM", "")
        if not url:
            raise InputError("no mail server is known; set TRUED_SMTP_URL, such as smtp://user@mail.example.org:587")
        if not sender:
            raise InputError("TRUED_MAIL_FROM is not set; it is the address that mail comes from")
        email_address(parseaddr(sender)[1], "TRUED_MAIL_FROM")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = parts = None
        if parts is None or parts.scheme not in ("smtp", "smtps") or not host:
            raise InputError("TRUED_SMTP_URL is no address of a mail server; write smtp://user@host:587 or smtps://…")
        if parts.password is not None:
            raise InputError(
                "TRUED_SMTP_URL contains a password, and such addresses get logged; use TRUED_SMTP_PASSWORD"
            )
        user = unquote(parts.username) if parts.username else None
        tls = "tls" if parts.scheme == "smtps" else "none" if host in _LOOPBACK and user is None else "starttls"
        password = (environment.get("TRUED_SMTP_PASSWORD") or _from_keyring(user, host)) if user else None
        if user and not password:
            raise InputError(
                f"the mail server wants {user}'s password; set TRUED_SMTP_PASSWORD, or keep it in the keyring "
                f"as 'trued smtp {host}' (pip install 'trued[mail]')"
            )
        return cls(host, port or (465 if tls == "tls" else 587), sender, user, password, tls)


def email_address(text: str, what: str = "the address") -> str:
    """Return an e-mail address as it is kept, in lower case.

    Raises:
        InputError: mail can't be sent there.
    """
    email = text.strip().lower()
    local = email.partition("@")[0]
    fits = len(email) <= 254 and _ADDRESS.fullmatch(email) and ".." not in local and local.strip(".") == local
    if not fits:
        raise InputError(f"{what} {text[:80]!r} is no e-mail address; write one such as ada@example.org")
    return email


def public_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the address under which readers reach the page, without a slash at its end, or None if it isn't told.

    Raises:
        InputError: `TRUED_PUBLIC_URL` is no http(s) address.
    """
    url = environment.get("TRUED_PUBLIC_URL", "").strip().rstrip("/")
    if url and not re.fullmatch(r"https?://[^\s/?#\"<>]+(?:/[^\s?#\"<>]*)?", url):
        raise InputError(f"TRUED_PUBLIC_URL is {url[:80]!r}; write the page's address: https://papers.example.org")
    return url or None


def _from_keyring(user: str | None, host: str) -> str | None:
    try:
        import keyring
    except ImportError:
        return None
    return keyring.get_password(f"trued smtp {host}", user or "")
