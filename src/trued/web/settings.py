"""Settings of the page: where it listens, who may write, and the secrets, which come from the environment alone.

Knows addresses and environment variables. Knows nothing of requests.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from trued.errors import InputError
from trued.feed.mail.secret import secret as kept_secret

SHORTEST_TOKEN = 16  # characters
TOKEN, SECRET = "TRUED_TOKEN", "TRUED_SECRET"


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Attributes:
        host, port: where it listens.
        public: others may reach it; then whoever writes has to sign in.
        token: what the owner signs in with, or None: then nobody writes on a public page.
        database_url: of papers and runs, or None for the files in the user's data folder.
        secret: what sessions and forms are signed with.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    public: bool = False
    token: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"port {self.port} does not exist; give one from 1 to 65535, or 0 for any that is free")
        if not self.public and not is_loopback(self.host):
            raise InputError(
                f"{self.host} can be reached by others; add --public if that is meant (then writing needs a token "
                f"from {TOKEN}), or listen on 127.0.0.1"
            )
        for name, value in ((TOKEN, self.token if self.public else None), (SECRET, self.secret)):
            if value is not None and len(value) < SHORTEST_TOKEN:
                raise InputError(
                    f"{name} has {len(value)} characters, and at least {SHORTEST_TOKEN} are needed; make one with "
                    '`python -c "import secrets; print(secrets.token_urlsafe(32))"`'
                )

    @property
    def url(self) -> str:
        """The page's address on this machine."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @classmethod
    def from_environment(
        cls, host: str = "127.0.0.1", port: int = 8000, *, public: bool = False, database_url: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Settings:  # fmt: skip
        """Return settings with token and secret from the environment.

        Without `TRUED_SECRET` it is the one that the user's data folder keeps, which also signs the links in mails.

        Raises:
            InputError: the address needs `public`, the port does not exist, or a secret is too short.
        """
        url = database_url or environment.get("TRUED_DATABASE_URL") or None
        return cls(host, port, public, environment.get(TOKEN) or None, url, environment.get(SECRET) or kept_secret())


def is_loopback(host: str) -> bool:
    """Tell whether an address or name can be reached from this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False
