"""Digests requested, confirmed and ended on the page, with mail through a real server on this machine."""

import email
import re
import socket
from email.policy import default
from urllib.parse import urlsplit

import pytest
from aiosmtpd.controller import Controller

from trued.feed.mail.subscribers import unsubscribe_link
from trued.feed.store.records import Subscriber


class Mailbox:
    """Keeps the mail that a server takes."""

    def __init__(self):
        self.mail = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mail.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


@pytest.fixture
def mailbox(monkeypatch):
    """A mail server, and the environment that names it."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv("TRUED_SMTP_URL", f"smtp://127.0.0.1:{port}")
    monkeypatch.setenv("TRUED_MAIL_FROM", "Papers <papers@example.org>")
    yield box.mail
    controller.stop()


def link(message, part):
    """Return path and query of the link in a mail that has `part` in it."""
    address = re.search(rf"https?://\S+{part}\?\S+", message.get_body(("plain",)).get_content())
    assert address is not None
    parts = urlsplit(address[0])
    return f"{parts.path}?{parts.query}", f"{parts.scheme}://{parts.netloc}"


def test_asking_confirming_and_ending_by_the_links_in_the_mail(owner, papers, mailbox):
    assert 'value="attacks has:code"' in owner.get("/subscribe?q=attacks+has:code").text
    answer = owner.fill("/subscribe", {"email": "ada@example.org", "period": "weekly", "q": " attacks   has:code "})
    assert answer.status_code == 200
    assert "a mail with a link is on its way" in answer.text
    assert papers.subscribers() == []
    ((to, message),) = mailbox
    assert to == ["ada@example.org"]
    where, base = link(message, "/subscribe/confirm")
    assert base == "http://127.0.0.1:8000"

    page = owner.get(where)  # as a mail scanner does, too
    assert "<strong>ada@example.org</strong>" in page.text
    assert "<q>attacks has:code</q>" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert papers.subscribers() == []
    token = where.partition("token=")[2]
    assert owner.post("/subscribe/confirm", data={"token": token}).status_code == 403
    done = owner.fill("/subscribe/confirm", {"token": token})
    assert "gets a weekly digest" in done.text
    (active,) = papers.subscribers()
    assert (active.email, active.period, active.q) == ("ada@example.org", "weekly", "attacks has:code")
    assert owner.fill("/subscribe/confirm", {"token": token}).status_code == 200

    assert owner.fill("/subscribe/confirm", {"token": token[:-2]}).status_code == 410
    assert owner.fill("/subscribe/confirm", {"token": ""}).status_code == 410


def test_one_click_ends_it_without_page_cookie_or_form_token(owner, papers, mailbox, browse, site):
    papers.put_subscriber(Subscriber("ada@example.org", "daily", state="active", nonce="n"))
    whole = unsubscribe_link(
        "ada@example.org", secret=site.state.settings.secret, base_url="http://127.0.0.1:8000", now=papers.now()
    )
    where = whole.removeprefix("http://127.0.0.1:8000")
    page = owner.get(where).text
    assert "is to get no more digests" in page
    assert len(papers.subscribers()) == 1
    mail_program = browse(site, "198.51.100.7", "papers.example")
    del mail_program.headers["accept"]
    for _ in range(2):
        answer = mail_program.post(
            where, content="List-Unsubscribe=One-Click", headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 200
        assert answer.text == "ada@example.org gets no more digests."
    assert papers.subscribers() == []
    forged = mail_program.post(where[:-3] + "AAA", content="List-Unsubscribe=One-Click")
    assert forged.status_code == 410
    assert "set-cookie" not in answer.headers


def test_the_answer_does_not_tell_who_subscribes(owner, papers, mailbox):
    papers.put_subscriber(Subscriber("known@example.org", "daily", state="active", nonce="n"))
    known = owner.fill("/subscribe", {"email": "known@example.org"})
    new = owner.fill("/subscribe", {"email": "new@example.org"})
    assert (known.status_code, known.text) == (new.status_code, new.text)
    states = [papers.subscriber(f"{name}@example.org").state for name in ("known", "new")]
    assert states == ["active", "pending"]


def test_what_cannot_be_subscribed_is_said_and_kept_in_the_form(owner, papers, mailbox):
    for data, says in (
        ({"email": "no address"}, "no address"),
        ({"email": "a@b.org\r\nBcc: c@d.org"}, "address"),
        ({"email": "a" * 300 + "@b.org"}, "address"),
        ({"email": "ada@example.org", "period": "hourly"}, "daily or weekly"),
        ({"email": "ada@example.org", "q": "<x>" + "y" * 500}, "400"),
    ):
        page = owner.fill("/subscribe", data)
        assert page.status_code == 422, data
        assert says in page.text
        assert "<x>" not in page.text
        assert 'role="alert"' in page.text
    assert mailbox == []
    assert owner.get("/unsubscribe?token=nonsense").status_code == 410
    assert owner.get(f"/subscribe/confirm?token={'x' * 5000}").status_code == 422


def test_without_a_mail_server_it_is_said(owner, monkeypatch):
    monkeypatch.delenv("TRUED_SMTP_URL", raising=False)
    page = owner.fill("/subscribe", {"email": "ada@example.org"})
    assert page.status_code == 422
    assert "TRUED_SMTP_URL" in page.text


def test_a_made_up_host_never_gets_into_a_mail(stranger, mailbox, monkeypatch):
    page = stranger.fill("/subscribe", {"email": "ada@example.org"})
    assert page.status_code == 422
    assert "TRUED_PUBLIC_URL" in page.text
    assert mailbox == []
    monkeypatch.setenv("TRUED_PUBLIC_URL", "https://papers.example.org")
    assert stranger.fill("/subscribe", {"email": "ada@example.org"}).status_code == 200
    assert link(mailbox[0][1], "/subscribe/confirm")[1] == "https://papers.example.org"
