"""Subscriptions: begun by whoever reads the mailbox, ended by one click, and nobody learns who has one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from mail_server import Post, mail_server

from trued.errors import InputError
from trued.feed.mail.settings import MailServer
from trued.feed.mail.smtp import SmtpClient
from trued.feed.mail.subscribers import (
    confirm,
    leave,
    request_subscription,
    unsubscribe,
    unsubscribe_link,
    verify,
)
from trued.feed.paper_store import PaperStore

SECRET = "0123456789abcdef"
URL = "https://papers.example.org"
ADA = "ada@example.org"


class World:
    """A store with a clock that the test sets, a mail server, and what people do with both."""

    def __init__(self, folder, post: Post) -> None:
        self.now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
        self.store = PaperStore(f"sqlite:///{folder}/papers.db", clock=lambda: self.now)
        self.post = post
        server = MailServer("127.0.0.1", post.port, "papers@example.org", tls="none", timeout=10.0)
        self.smtp = SmtpClient(server, sleep=lambda _: None)

    def ask(self, email: str = ADA, period: str = "daily", q: str | None = None, base_url: str | None = URL) -> None:
        request_subscription(self.store, email, period, q, secret=SECRET, base_url=base_url, smtp=self.smtp)

    def token(self) -> str:
        """Return the token in the last mail."""
        return unquote(re.search(r"token=(\S+)", self.post.taken[-1][1].get_content())[1])

    def confirm(self, token: str):
        return confirm(self.store, token, secret=SECRET)

    def state(self, email: str = ADA) -> str:
        return self.store.subscriber(email).state

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    with mail_server() as post:
        world = World(tmp_path, post)
        yield world
        world.smtp.close()
        world.store.close()


def test_asked_confirmed_left_and_asked_again(world: World) -> None:
    world.ask(" Ada@Example.org ", "weekly", "  continuous   alignment ")
    assert world.state() == "pending"
    ((to, mail),) = world.post.taken
    assert to == ADA
    assert 'weekly digest of new papers for "continuous alignment"' in " ".join(mail.get_content().split())
    assert mail["Auto-Submitted"] == "auto-generated"

    world.later(hours=47)
    one = world.confirm(world.token())
    assert (one.state, one.period, one.q, one.since) == ("active", "weekly", "continuous alignment", world.now)
    assert world.store.subscribers() == [one]

    link = unsubscribe_link(ADA, secret=SECRET, base_url=URL, now=world.now)
    token = unquote(link.removeprefix(f"{URL}/unsubscribe?token="))
    world.later(days=800)
    assert unsubscribe(world.store, token, secret=SECRET) == ADA
    assert unsubscribe(world.store, token, secret=SECRET) == ADA  # a second click is no error
    assert world.state() == "gone"

    world.ask()
    assert world.state() == "pending"
    assert world.confirm(world.token()).period == "daily"


def test_a_link_of_before_counts_no_more(world: World) -> None:
    world.ask()
    old = world.token()
    world.later(minutes=11)
    world.ask(period="weekly")
    new = world.token()
    with pytest.raises(InputError, match="not the latest one"):
        world.confirm(old)
    assert world.confirm(new).period == "weekly"
    assert world.confirm(new).state == "active"  # twice is once
    leave(world.store, ADA)
    with pytest.raises(InputError, match="not the latest one"):
        world.confirm(new)
    assert world.state() == "gone"


def test_a_link_ends_after_two_days(world: World) -> None:
    world.ask()
    world.later(hours=48)
    with pytest.raises(InputError, match="out of date"):
        world.confirm(world.token())
    assert world.state() == "pending"


def test_a_request_by_another_changes_nothing_of_an_active_subscription(world: World) -> None:
    world.ask(q="alignment")
    mine = world.confirm(world.token())
    world.later(minutes=11)
    world.ask(period="weekly", q="something else")
    assert replace(world.store.subscriber(ADA), nonce="") == replace(mine, nonce="")
    changed = world.confirm(world.token())
    assert (changed.period, changed.q, changed.since) == ("weekly", "something else", mine.since)


def test_nobody_floods_a_mailbox(world: World) -> None:
    for _ in range(5):
        world.ask()
    assert len(world.post.taken) == 1
    world.later(minutes=10)
    world.ask()
    assert len(world.post.taken) == 2
    world.ask("bob@example.org")
    assert len(world.post.taken) == 3


def test_one_address_is_asked_three_times_a_day_at_most(world: World) -> None:
    for _ in range(24 * 6):
        world.ask()
        world.later(minutes=10)
    assert len(world.post.taken) == 3
    world.ask("bob@example.org")
    assert len(world.post.taken) == 4
    for _ in range(24 * 6):
        world.ask()
        world.later(minutes=10)
    assert len(world.post.taken) == 7


def test_an_address_that_is_refused_bounces_and_may_ask_again(world: World) -> None:
    world.post.recipient_answers[ADA] = ["550 5.1.1 no such user"]
    world.ask()  # says nothing: who asks must not learn what mailboxes there are
    assert (world.state(), world.store.subscriber(ADA).reason) == ("bounced", "550 5.1.1 no such user")
    world.later(minutes=1)
    world.ask()
    assert world.state() == "pending"
    assert world.confirm(world.token()).reason == ""


def test_a_server_that_is_busy_is_told_and_the_next_request_sends(world: World) -> None:
    world.post.recipient_answers[ADA] = ["451 4.3.0 later"] * 3
    with pytest.raises(InputError, match=r"takes no mail at the moment .*try again later"):
        world.ask()
    world.ask()
    assert len(world.post.taken) == 1


def test_without_a_page_the_mail_tells_the_command(world: World) -> None:
    world.ask(base_url=None)
    text = world.post.taken[0][1].get_content()
    assert "http" not in text
    token = re.search(r"trued papers subscribe --confirm (\S+)", text)[1]
    assert verify(token, "confirm", secret=SECRET, now=world.now).email == ADA
    assert world.confirm(token).state == "active"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"email": "ada@x.org\r\nBcc: eve@x.org"}, "is no e-mail address"),
        ({"period": "hourly"}, "daily or weekly, not 'hourly'"),
        ({"q": "x" * 401}, "give up to 400 letters"),
        ({"q": "a\x00b"}, "does not do"),
    ],
)
def test_bad_requests_send_nothing(world: World, options: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        world.ask(**options)
    assert not world.post.attempts
    assert world.store.subscribers(state=None) == []


def test_without_a_mail_server_nothing_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUED_SMTP_URL", raising=False)
    with pytest.raises(InputError, match="set TRUED_SMTP_URL"):
        request_subscription(world.store, ADA, secret=SECRET, base_url=URL)
    assert world.store.subscribers(state=None) == []
