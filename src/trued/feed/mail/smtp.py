"""Handing in mail: one connection with TLS, a few tries, and for each mail an outcome that says what surely happened.

Knows SMTP (RFC 5321) and its reply codes. Knows nothing of what a mail says or who gets it.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Literal

from trued.errors import InputError
from trued.feed.mail.settings import MailServer

WAITS = (2.0, 8.0)  # seconds before the second and the third try


@dataclass(frozen=True)
class Outcome:
    """What became of one mail.

    Args:
        state: "sent": the server took it. "later": it surely did not go out and may be tried again. "declined": the
            server's policy refuses this mail, which says nothing about the mailbox. "refused": the server does not
            want mail for this address, ever. "unknown": the connection broke after the mail was handed over and before
            the answer; it must not be sent again.
        reason: the server's words.
    """

    state: Literal["sent", "later", "declined", "refused", "unknown"]
    reason: str = ""


class MailServerError(InputError):
    """The mail server takes no mail from this sender: no connection, no sign-in, or the sender itself is refused."""


class SmtpClient:
    """An open way to the mail server: connects when the first mail is sent, and again when the connection broke.

    Args:
        sleep: waits between tries.

    Use it as a context manager.
    """

    def __init__(self, server: MailServer, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.server = server
        self._sleep = sleep
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> SmtpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: EmailMessage, to: str) -> Outcome:
        """Hand in one mail; what may pass is tried three times.

        Raises:
            MailServerError: the server takes no mail from this sender at all: no connection, no valid certificate,
                wrong password, sender not allowed. This mail did not go out.
        """
        data = message.as_bytes(policy=SMTP)
        outcome = Outcome("later")
        for wait in (*WAITS, None):
            outcome = self._try(data, to)
            if outcome.state != "later" or wait is None:
                break
            self._sleep(wait)
        return outcome

    def close(self) -> None:
        """Take leave of the server."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            try:
                smtp.quit()
            except (smtplib.SMTPException, OSError):
                smtp.close()

    def _try(self, data: bytes, to: str) -> Outcome:
        try:
            smtp = self._connected()
            code, words = smtp.mail(parseaddr(self.server.sender)[1])
            if code >= 400:
                return self._declined(code, words, about_sender=True)
            code, words = smtp.rcpt(to)
            if code >= 400:
                return self._declined(code, words)
        except _Busy as busy:
            self._drop()
            return Outcome("later", str(busy))
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            self._drop()
            return Outcome("later", str(error))
        try:
            code, words = smtp.data(data)
        except smtplib.SMTPDataError as error:  # before the mail itself was handed over
            return self._declined(error.smtp_code, error.smtp_error)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Outcome("unknown", str(error))
        return Outcome("sent", _words(words)) if code < 400 else self._declined(code, words)

    def _declined(self, code: int, words: bytes | str, *, about_sender: bool = False) -> Outcome:
        """Return what a refusal means; the connection is fit for the next mail.

        Raises:
            MailServerError: the sender is refused for good, or has to sign in first.
        """
        reason = f"{code} {_words(words)}"
        if code == 421:  # it will hang up
            self._drop()
        elif self._smtp is not None:
            try:
                self._smtp.rset()
            except (smtplib.SMTPException, OSError):
                self._drop()
        if code < 500:
            return Outcome("later", reason)
        if about_sender or code in (530, 535):  # RFC 4954: sign-in required, or not accepted
            server = self.server
            raise MailServerError(f"{server.host} takes no mail from {server.sender}: {reason}; check TRUED_MAIL_FROM")
        # RFC 3463: x.7.z is about policy, such as a blocked word or a greylist, and not about the mailbox.
        return Outcome("declined" if re.match(r"5\.7\.\d+", _words(words)) else "refused", reason)

    def _connected(self) -> smtplib.SMTP:
        """Return the open connection, or a new one.

        Raises:
            MailServerError: there will be none.
            _Busy: there is none now.
        """
        if self._smtp is not None:
            return self._smtp
        server, where = self.server, f"{self.server.host}:{self.server.port}"
        try:
            return self._open()
        except smtplib.SMTPNotSupportedError as error:
            lacks = "sign-in" if "AUTH" in str(error) else "TLS"
            sentence = f"{where} offers no {lacks}; mail is not sent without it: check TRUED_SMTP_URL"
        except smtplib.SMTPResponseException as error:
            answer = f"{error.smtp_code} {_words(error.smtp_error)}"
            if error.smtp_code < 500:
                raise _Busy(answer) from None
            if isinstance(error, smtplib.SMTPAuthenticationError):
                sentence = f"{where} does not accept {server.user}'s password ({answer}); check TRUED_SMTP_PASSWORD"
            else:
                sentence = f"{where} does not talk to us ({answer}); check TRUED_SMTP_URL"
        except smtplib.SMTPServerDisconnected as error:
            raise _Busy(str(error)) from None
        except ssl.SSLError as error:
            sentence = f"no TLS with {where} ({error.reason or error}); check host and port in TRUED_SMTP_URL"
        except OSError as error:  # other errors of smtplib are among these
            sentence = f"no mail server answers at {where} ({error}); check TRUED_SMTP_URL"
        self._drop()
        raise MailServerError(sentence)

    def _open(self) -> smtplib.SMTP:
        """Connect, and sign in under TLS; nothing about a mail is said before."""
        server, context = self.server, ssl.create_default_context()
        name = server.domain or "localhost"
        if server.tls == "tls":
            smtp = smtplib.SMTP_SSL(server.host, server.port, name, timeout=server.timeout, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, name, timeout=server.timeout)
        self._smtp = smtp
        smtp.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            smtp.starttls(context=context)
        if server.user and server.password:
            smtp.login(server.user, server.password)
        return smtp

    def _drop(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()


class _Busy(Exception):  # noqa: N818 - it never leaves this file
    """The server asks to come back later."""


def _words(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())[:200]
