"""Handing in mail, against a real server: what surely happened is what is said."""

from __future__ import annotations

import shutil
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from mail_server import certificate, mail_server

from trued.errors import InputError
from trued.feed.mail.render import DigestContent, render_mail
from trued.feed.mail.settings import MailServer, email_address, public_url
from trued.feed.mail.smtp import WAITS, MailServerError, SmtpClient

SENDER = "Daily papers <papers@example.org>"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the test's certificate, is not installed")
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def message(to: str = "ada@example.org") -> EmailMessage:
    content = DigestContent("Trending papers", "November 24, 2026", ())
    return render_mail(
        content, to=to, sender=SENDER, message_id="<1@example.org>", date=datetime(2026, 11, 25, tzinfo=UTC)
    )


def server(port: int, **options) -> MailServer:
    return MailServer("127.0.0.1", port, SENDER, **{"tls": "none", "timeout": 10.0, **options})


def outcome_of(post, to: str = "ada@example.org"):
    waited: list[float] = []
    with SmtpClient(server(post.port), sleep=waited.append) as smtp:
        return smtp.send(message(to), to), waited


def test_one_connection_takes_many_mails() -> None:
    with mail_server() as post, SmtpClient(server(post.port)) as smtp:
        for number in range(3):
            assert smtp.send(message(), f"{number}@example.org").state == "sent"
        assert post.addresses() == ["0@example.org", "1@example.org", "2@example.org"]
        assert post.taken[0][1]["From"] == SENDER


def test_what_passes_is_tried_again() -> None:
    with mail_server() as post:
        post.recipient_answers["ada@example.org"] = ["451 4.7.1 greylisted", "450 4.2.0 busy"]
        outcome, waited = outcome_of(post)
        assert (outcome.state, tuple(waited)) == ("sent", WAITS)
        assert len(post.taken) == 1


def test_what_does_not_pass_is_left_for_later() -> None:
    with mail_server() as post:
        post.data_answers = ["452 4.3.1 full"] * 9
        outcome, waited = outcome_of(post)
        assert (outcome.state, outcome.reason, tuple(waited)) == ("later", "452 4.3.1 full", WAITS)
        assert not post.taken


def test_an_unknown_mailbox_is_refused_at_once_and_the_next_mail_goes_on() -> None:
    with mail_server() as post, SmtpClient(server(post.port), sleep=lambda _: pytest.fail("waited")) as smtp:
        post.recipient_answers["bob@example.org"] = ["550 5.1.1 no such user"]
        assert smtp.send(message(), "bob@example.org").state == "refused"
        post.data_answers = ["552 5.2.2 mailbox full"]
        assert smtp.send(message(), "eve@example.org").state == "refused"
        assert smtp.send(message(), "ada@example.org").state == "sent"
        assert post.addresses() == ["ada@example.org"]


@pytest.mark.parametrize("answer", ["554 5.7.1 relaying denied", "550 5.1.8 no such sender", "530 5.7.0 sign in"])
def test_a_refused_sender_is_no_fault_of_the_address(answer: str) -> None:
    with mail_server() as post, SmtpClient(server(post.port)) as smtp:
        post.sender_answers = [answer]
        with pytest.raises(MailServerError, match=rf"takes no mail from .*{answer}; check TRUED_MAIL_FROM"):
            smtp.send(message(), "ada@example.org")


@pytest.mark.parametrize("where", ["recipient", "data"])
def test_a_policy_against_one_mail_is_about_that_mail_alone(where: str) -> None:
    with mail_server() as post, SmtpClient(server(post.port), sleep=lambda _: pytest.fail("waited")) as smtp:
        answer = ["554 5.7.1 blocked"]
        if where == "recipient":
            post.recipient_answers["ada@example.org"] = answer
        else:
            post.data_answers = answer
        outcome = smtp.send(message(), "ada@example.org")
        assert (outcome.state, outcome.reason) == ("declined", "554 5.7.1 blocked")
        assert smtp.send(message(), "bob@example.org").state == "sent"


def test_a_connection_that_breaks_before_the_answer_leaves_it_unknown() -> None:
    with mail_server() as post:
        post.data_answers = ["hang up"]
        outcome, waited = outcome_of(post)
        assert outcome.state == "unknown"
        assert not waited
        assert len(post.taken) == 1  # it did arrive: to send it again would be wrong


def test_a_server_that_hangs_up_between_mails_is_called_again() -> None:
    with mail_server() as post, SmtpClient(server(post.port), sleep=lambda _: None) as smtp:
        assert smtp.send(message(), "ada@example.org").state == "sent"
        post.recipient_answers["bob@example.org"] = ["421 4.3.2 closing"]
        assert smtp.send(message(), "bob@example.org").state == "sent"
        assert post.addresses() == ["ada@example.org", "bob@example.org"]


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd does not see that this connection began with TLS
@pytest.mark.parametrize("from_start", [True, False])
def test_tls_and_sign_in(tls, monkeypatch: pytest.MonkeyPatch, from_start: bool) -> None:
    context, cert = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with mail_server(context, from_start=from_start, sign_in=True) as post:
        right = server(post.port, tls="tls" if from_start else "starttls", user="ada", password="right")
        with SmtpClient(right) as smtp:
            assert smtp.send(message(), "bob@example.org").state == "sent"
        assert (post.encrypted, post.logins) == ([True], ["ada"])
        with SmtpClient(replace(right, password="wrong")) as smtp, pytest.raises(InputError, match="ada's password"):
            smtp.send(message(), "bob@example.org")


def test_a_certificate_of_nobody_is_not_trusted(tls) -> None:
    with mail_server(tls[0]) as post, SmtpClient(server(post.port, tls="starttls")) as smtp:
        with pytest.raises(InputError, match=r"no TLS with 127\.0\.0\.1:.*check host and port"):
            smtp.send(message(), "ada@example.org")
        assert not post.attempts


def test_nothing_is_said_in_clear_to_a_server_without_tls() -> None:
    with mail_server() as post, SmtpClient(server(post.port, tls="starttls", user="ada", password="right")) as smtp:
        with pytest.raises(InputError, match="offers no TLS; mail is not sent without it"):
            smtp.send(message(), "ada@example.org")
        assert not post.logins
        assert not post.attempts


def test_no_server_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with (
            SmtpClient(server(taken.getsockname()[1])) as smtp,
            pytest.raises(InputError, match="no mail server answers"),
        ):
            smtp.send(message(), "ada@example.org")


ENVIRONMENT = {
    "TRUED_SMTP_URL": "smtp://ada%40x.org@mail.example.org",
    "TRUED_MAIL_FROM": SENDER,
    "TRUED_SMTP_PASSWORD": "pw",
}


def test_the_environment_names_the_server() -> None:
    found = MailServer.from_environment(ENVIRONMENT)
    assert (found.host, found.port, found.user, found.password) == ("mail.example.org", 587, "ada@x.org", "pw")
    assert (found.tls, found.domain) == ("starttls", "example.org")
    assert "pw" not in repr(found)
    found = MailServer.from_environment({**ENVIRONMENT, "TRUED_SMTP_URL": "smtps://mail.example.org"})
    assert (found.port, found.tls, found.user, found.password) == (465, "tls", None, None)
    found = MailServer.from_environment({**ENVIRONMENT, "TRUED_SMTP_URL": "smtp://localhost:2525"})
    assert (found.port, found.tls) == (2525, "none")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"TRUED_SMTP_URL": ""}, "no mail server is known; set TRUED_SMTP_URL"),
        ({"TRUED_SMTP_URL": "mail.example.org"}, "no address of a mail server"),
        ({"TRUED_SMTP_URL": "smtp://h:99999"}, "no address of a mail server"),
        ({"TRUED_SMTP_URL": "smtp://a:secret@h"}, "contains a password"),
        ({"TRUED_SMTP_PASSWORD": ""}, "wants ada@x.org's password; set TRUED_SMTP_PASSWORD"),
        ({"TRUED_MAIL_FROM": ""}, "TRUED_MAIL_FROM is not set"),
        ({"TRUED_MAIL_FROM": "Daily papers"}, "TRUED_MAIL_FROM 'Daily' is no e-mail address|TRUED_MAIL_FROM '"),
    ],
)
def test_what_does_not_fit_together_is_found_before_anything_is_sent(changed: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        MailServer.from_environment({**ENVIRONMENT, **changed})
    assert "secret" not in str(raised.value)


def test_addresses() -> None:
    assert email_address("  Ada.Lovelace+papers@Example.ORG ") == "ada.lovelace+papers@example.org"
    for bad in ("", "ada", "ada@", "@x.org", "a@b", "a b@x.org", "a@x.org\nBcc: b@x.org", "a@x..org", "a..b@x.org",
                ".a@x.org", "a,b@x.org", "<a@x.org>", "ä@x.org", "a@-x.org", "a@x.org" * 40):  # fmt: skip
        with pytest.raises(InputError, match="is no e-mail address"):
            email_address(bad)


def test_the_public_address() -> None:
    assert public_url({}) is None
    assert public_url({"TRUED_PUBLIC_URL": "https://papers.example.org/"}) == "https://papers.example.org"
    for bad in ("papers.example.org", "javascript:alert(1)", "https://x.org/?a", "https://x y"):
        with pytest.raises(InputError, match="TRUED_PUBLIC_URL is"):
            public_url({"TRUED_PUBLIC_URL": bad})
