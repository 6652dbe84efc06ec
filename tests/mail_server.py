"""A real SMTP server on a port of its own that keeps what it gets, and answers as a test wants it to."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

FINE = "250 2.0.0 taken"


@dataclass
class Post:
    """What came in, and what is answered: each list is used up from its start, and then everything is fine.

    Args:
        taken: recipient and mail, of those that were answered with 250.
        on_data: is called before the answer to a mail, with the recipient.
    """

    port: int = 0
    taken: list[tuple[str, EmailMessage]] = field(default_factory=list)
    sender_answers: list[str] = field(default_factory=list)
    recipient_answers: dict[str, list[str]] = field(default_factory=dict)
    data_answers: list[str] = field(default_factory=list)
    on_data: Callable[[str], Any] | None = None
    attempts: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's names
        answer = self.sender_answers.pop(0) if self.sender_answers else FINE
        if answer.startswith("2"):
            envelope.mail_from = address
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        self.attempts.append(address)
        answers = self.recipient_answers.get(address)
        answer = answers.pop(0) if answers else FINE
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        (to,) = envelope.rcpt_tos
        answer = self.data_answers.pop(0) if self.data_answers else FINE
        if answer == "hang up":
            self.taken.append((to, _parsed(envelope.content)))
            server.transport.close()
            return FINE
        if self.on_data is not None:
            self.on_data(to)
        if answer.startswith("2"):
            self.taken.append((to, _parsed(envelope.content)))
        return answer

    def addresses(self) -> list[str]:
        """Return who got a mail, in order."""
        return [to for to, _ in self.taken]

    def authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        """Accept one password."""
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)


def _parsed(content: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(content, policy=policy.default))


class _Controller(Controller):
    """Takes any free port, and looks for itself there."""

    def _trigger_server(self) -> None:
        self.port = cast(Any, self.server).sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, *, from_start: bool = False, sign_in: bool = False
) -> Iterator[Post]:
    """Run a server until the block ends."""
    post = Post()
    options: dict[str, Any] = {"auth_required": sign_in, "authenticator": post.authenticate}
    if tls is not None and from_start:
        options |= {"ssl_context": tls, "auth_require_tls": False}
    elif tls is not None:
        options |= {"tls_context": tls, "require_starttls": True}
    controller = _Controller(post, hostname="127.0.0.1", port=0, ready_timeout=30, **options)
    controller.start()
    try:
        post.port = controller.port
        yield post
    finally:
        controller.stop()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
