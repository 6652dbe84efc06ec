"""Digests: what came in, to whom it belongs, and never twice, through a real mail server and a real store."""

from __future__ import annotations

import html
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from mail_server import Post, mail_server
from stored_papers import sample_papers

from trued.feed.mail.digest import Delivery, due, key_of, send_digests
from trued.feed.mail.render import DigestContent, items, render_html, render_mail, render_text
from trued.feed.mail.settings import MailServer
from trued.feed.mail.smtp import MailServerError, SmtpClient
from trued.feed.mail.subscribers import unsubscribe
from trued.feed.paper import FeedPaper, Link
from trued.feed.paper_store import PaperStore
from trued.feed.search.selection import Selection
from trued.feed.store.records import Digest, Subscriber

SECRET = "0123456789abcdef"
URL = "https://papers.example.org"
TUESDAY = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


class World:
    """A store with a clock that the test sets, and a mail server."""

    def __init__(self, folder, post: Post) -> None:
        self.now = TUESDAY
        self.url = f"sqlite:///{folder}/papers.db"
        self.store = PaperStore(self.url, clock=lambda: self.now)
        self.post = post

    def smtp(self) -> SmtpClient:
        server = MailServer("127.0.0.1", self.post.port, "Papers <papers@example.org>", tls="none", timeout=10.0)
        return SmtpClient(server, sleep=lambda _: None)

    def subscribe(self, *names: str, period="daily", q: str | None = None, state="active") -> None:
        for name in names:
            self.store.put_subscriber(Subscriber(f"{name}@example.org", period, q, state))

    def ingest(self, *papers: FeedPaper) -> None:
        self.store.ingest(papers)

    def send(self, **options) -> Delivery:
        with self.smtp() as smtp:
            return send_digests(self.store, smtp, secret=SECRET, base_url=URL, **options)

    def names(self) -> list[str]:
        """Return who got a mail since the last call."""
        names = [to.partition("@")[0] for to in self.post.addresses()]
        self.post.taken.clear()
        return names


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    with mail_server() as post:
        world = World(tmp_path, post)
        world.ingest(
            FeedPaper(
                "Continuous Alignment of Models", "Abstract one.", "2611.00001", published=date(2026, 11, 23), upvotes=3
            ),
            FeedPaper("Robots That Dance", "Abstract two.", "2611.00002", published=date(2026, 11, 24), upvotes=9),
        )
        world.now += timedelta(hours=12)  # Wednesday, at three in the morning
        yield world
        world.store.close()


def test_each_subscriber_gets_one_digest_of_the_day_before(world: World) -> None:
    world.subscribe("ada", "bob")
    world.subscribe("eve", state="pending")
    world.subscribe("old", state="gone")
    delivery = world.send()
    assert delivery.sent == ["ada@example.org", "bob@example.org"]
    (to, mail), _ = world.post.taken
    assert mail["To"] == to == "ada@example.org"
    assert mail["From"] == "Papers <papers@example.org>"
    assert mail["Subject"] == "Trending papers: 2 papers, November 24, 2026"
    text = mail.get_body(("plain",)).get_content()
    assert text.index("Robots That Dance") < text.index("Continuous Alignment")  # more upvotes
    assert "Abstract one." in text
    assert "https://arxiv.org/abs/2611.00001" in text

    assert world.names() == ["ada", "bob"]
    assert world.send().had == ["ada@example.org", "bob@example.org"]
    assert world.names() == []
    assert [one.state for one in world.store.digests("ada@example.org")] == ["sent"]


def test_the_headers_and_the_link_end_it_with_one_click(world: World) -> None:
    world.subscribe("ada")
    world.send()
    mail = world.post.taken[0][1]
    link = re.fullmatch(rf"<({URL}/unsubscribe\?token=(\S+))>", mail["List-Unsubscribe"])
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"] == "trued daily papers <daily-papers.example.org>"
    assert link[1] in mail.get_body(("plain",)).get_content()
    assert html.escape(link[1]) in mail.get_body(("html",)).get_content()
    assert unsubscribe(world.store, unquote(link[2]), secret=SECRET) == "ada@example.org"
    world.now += timedelta(days=1)
    world.ingest(FeedPaper("News", arxiv="2611.00003"))
    world.now += timedelta(days=1)
    world.post.taken.clear()
    world.send()
    assert world.names() == []


def test_a_search_gets_only_what_answers_to_every_word(world: World) -> None:
    world.subscribe("ada", q="continuous alignment")
    world.subscribe("bob", q="continuous robots")
    delivery = world.send()
    assert (delivery.sent, delivery.nothing) == (["ada@example.org"], ["bob@example.org"])
    mail = world.post.taken[0][1]
    assert mail["Subject"] == "New papers for “continuous alignment”: 1 paper, November 24, 2026"
    assert "Robots" not in mail.get_body(("plain",)).get_content()
    assert f"{URL}/search?q=continuous+alignment" in mail.get_body(("plain",)).get_content()
    assert world.send(always=True).sent == ["bob@example.org"]
    assert "No paper came in." in world.post.taken[-1][1].get_body(("plain",)).get_content()


def test_a_search_by_mail_does_not_tell_the_owners_tags(world: World) -> None:
    uid = world.store.find(arxiv="2611.00001").uid
    world.store.tag("owner", uid, "secret")
    world.subscribe("eve", q="tag:secret")
    assert world.send().nothing == ["eve@example.org"]


def test_nothing_new_is_no_mail_and_nothing_is_lost_on_days_without_one(world: World) -> None:
    world.subscribe("ada")
    world.send()
    world.now += timedelta(days=1)  # Thursday: nothing came in on Wednesday
    assert world.send().nothing == ["ada@example.org"]
    world.ingest(FeedPaper("Of Thursday", arxiv="2611.00003"))
    world.now += timedelta(days=1, hours=1)
    world.ingest(FeedPaper("Of Friday", arxiv="2611.00004"))
    world.now += timedelta(days=1)  # Saturday, after no digest on Friday
    world.post.taken.clear()
    world.send()
    ((_, mail),) = world.post.taken
    text = mail.get_body(("plain",)).get_content()
    assert "Of Thursday" in text
    assert "Of Friday" in text
    assert "Robots" not in text
    assert "November 25 to November 27, 2026" in text


def test_weekly_digests_are_of_whole_weeks(world: World) -> None:
    world.subscribe("ada", period="weekly")
    assert world.send().nothing == ["ada@example.org"]  # the week of the papers is not over
    world.now = datetime(2026, 11, 30, 0, 1, tzinfo=UTC)
    assert world.send(period="daily").sent == []
    assert world.send().sent == ["ada@example.org"]
    assert world.send().had == ["ada@example.org"]
    assert world.post.taken[0][1]["Subject"].endswith("2 papers, November 23 to November 29, 2026")
    assert [one.period_key for one in world.store.digests()] == ["2026-W48"]


def test_what_did_not_go_out_goes_out_with_the_next_run(world: World) -> None:
    world.subscribe("ada", "bob")
    world.post.recipient_answers["ada@example.org"] = ["451 4.3.0 busy"] * 3
    delivery = world.send()
    assert delivery.failed == [("ada@example.org", "451 4.3.0 busy")]
    assert world.names() == ["bob"]
    world.send()
    assert world.names() == ["ada"]


def test_a_dead_mailbox_is_noted_and_left_alone(world: World) -> None:
    world.subscribe("ada", "bob")
    world.post.recipient_answers["ada@example.org"] = ["550 5.1.1 no such user"]
    assert world.send().failed == [("ada@example.org", "550 5.1.1 no such user")]
    one = world.store.subscriber("ada@example.org")
    assert (one.state, one.reason) == ("bounced", "550 5.1.1 no such user")
    assert world.names() == ["bob"]
    world.post.attempts.clear()
    world.now += timedelta(days=1)
    world.send()
    assert "ada@example.org" not in world.post.attempts


def test_a_server_that_takes_nothing_ends_the_round_and_loses_nobody(world: World) -> None:
    world.subscribe("ada", "bob")
    world.post.sender_answers = ["550 5.7.1 sender not allowed"]
    with pytest.raises(MailServerError, match="check TRUED_MAIL_FROM"):
        world.send()
    assert {one.state for one in world.store.subscribers()} == {"active"}
    world.send()
    assert world.names() == ["ada", "bob"]


def test_a_broken_connection_is_never_sent_again(world: World) -> None:
    world.subscribe("ada", "bob")
    world.post.data_answers = ["hang up"]
    assert [email for email, _ in world.send().failed] == ["ada@example.org"]
    world.send()
    assert world.names() == ["ada", "bob"]


@pytest.mark.parametrize("taken", [True, False])
def test_a_process_that_is_killed_half_way_sends_nothing_twice(world: World, taken: bool) -> None:
    world.subscribe("ada", "bob", "cyd", "dan")
    script = Path(__file__).with_name("digest_process.py")
    process = subprocess.Popen([sys.executable, script, world.url, str(world.post.port), world.now.isoformat()])
    world.post.data_answers = ["250 2.0.0 taken", "250 2.0.0 taken" if taken else "451 4.3.0 lost"]

    def kill(to: str) -> None:
        if to == "bob@example.org":
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

    world.post.on_data = kill
    assert process.wait(timeout=60) == -signal.SIGKILL
    world.post.on_data = None
    assert [one.state for one in world.store.digests("bob@example.org")] == ["claimed"]

    delivery = world.send()
    assert delivery.sent == ["cyd@example.org", "dan@example.org"]
    assert delivery.had == ["ada@example.org", "bob@example.org"]
    assert world.send().sent == []
    assert world.names() == (["ada", "bob", "cyd", "dan"] if taken else ["ada", "cyd", "dan"])
    world.now += timedelta(hours=2)
    assert any("bob@example.org" in line for line in world.store.doctor())


def test_two_processes_at_once_send_nothing_twice(world: World) -> None:
    names = [f"n{number}" for number in range(12)]
    world.subscribe(*names)
    stores = [PaperStore(world.url, clock=lambda: world.now) for _ in range(3)]
    errors: list[BaseException] = []

    def send(store: PaperStore) -> None:
        try:
            with world.smtp() as smtp:
                send_digests(store, smtp, secret=SECRET, base_url=URL)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=send, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert errors == []
    assert sorted(world.names()) == sorted(names)


WEDNESDAY = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("keys", "period", "first", "last"),
    [
        ([], "daily", "2026-11-24", "2026-11-24"),
        (["2026-11-24"], "daily", None, None),
        (["2026-11-23"], "daily", "2026-11-24", "2026-11-24"),
        (["2026-11-20", "2026-11-19"], "daily", "2026-11-21", "2026-11-24"),
        (["2026-01-01"], "daily", "2026-11-11", "2026-11-24"),  # no further back than two weeks
        (["2026-W47"], "daily", "2026-11-23", "2026-11-24"),  # from weekly to daily
        ([], "weekly", "2026-11-16", "2026-11-22"),
        (["2026-11-18"], "weekly", "2026-11-19", "2026-11-22"),  # from daily to weekly
        (["2026-W47"], "weekly", None, None),
        (["confirm/2026-11-24T10:10", "2026-11-24/1d/abc"], "daily", "2026-11-24", "2026-11-24"),
    ],
)
def test_which_days_are_due(keys: list[str], period, first: str | None, last: str | None) -> None:
    span = due([Digest("a", key, "sent", WEDNESDAY) for key in keys], period, WEDNESDAY)
    assert (None if span is None else str(span.first)) == first
    assert (None if span is None else str(span.last)) == last


def test_what_failed_is_due_and_what_may_have_gone_out_is_not() -> None:
    def digest(state) -> Digest:
        return Digest("a", "2026-11-24", state, WEDNESDAY)

    assert due([digest("failed")], "daily", WEDNESDAY) is not None
    assert due([digest("claimed")], "daily", WEDNESDAY) is None


class _Words(HTMLParser):
    """The text of a page, a line for each block, as a reader sees it; and what it would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.title = False

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.title = tag == "title"
        assert not {name for name, _ in attrs} & {"src", "onload", "onclick", "onerror", "background", "srcset"}
        assert all("url(" not in value for name, value in attrs if name == "style")

    def handle_endtag(self, tag) -> None:
        self.title = False

    def handle_data(self, data) -> None:
        if not self.title:
            self.words += data.split()


def test_text_and_html_say_the_same_and_load_nothing() -> None:
    written = DigestContent(
        "New papers for “a <b> & c”", "today", items(sample_papers(), URL), 3, URL, f"{URL}/u?t=1&x=2"
    )
    reader = _Words()
    reader.feed(render_html(written))
    assert reader.words == render_text(written).split()
    assert reader.tags == {"html", "head", "meta", "title", "body", "div", "h1", "h2", "p", "a", "code"}
    for part in ("Sophie Xhonneux, Leo Schwinn · 2024-05-24 · 12 upvotes", "Jane Roe and others", "3 more came in.",
                 "In trued: trued run c-advul", f"{URL}/papers/2", "https://github.com/a/b"):  # fmt: skip
        assert part in render_text(written)
    assert "Secret" not in render_text(written)


def test_nothing_in_a_paper_becomes_markup_or_a_header() -> None:
    from stored_papers import stored

    evil = stored(
        "T\r\nBcc: eve@example.org\x07 <script>", "A\r\nB", abstract="<img src=x> " + "word " * 200,
        links=(Link("https://x.org/\"onload='x'", "code"),),
    )  # fmt: skip
    written = DigestContent("New papers for “x\r\nBcc: eve@example.org”", "today", items([evil], None))
    mail = render_mail(
        written, to="ada@example.org", sender="papers@example.org", message_id="<1@example.org>", date=TUESDAY
    )
    assert "Bcc" not in mail
    assert mail["Subject"].startswith("New papers for “x Bcc: eve@example.org”")
    assert "List-Unsubscribe" not in mail  # there is no link to end it
    page = render_html(written)
    assert "<script" not in page
    assert "<img" not in page
    assert '"onload' not in page
    assert "word …" in render_text(written)
    assert len(render_text(written)) < 700


def test_one_digest_has_one_name(world: World) -> None:
    world.subscribe("ada", "bob")
    world.send()
    first, second = (mail["Message-ID"] for _, mail in world.post.taken)
    assert first != second
    world.store.settle_digest("ada@example.org", "2026-11-24", "failed")
    world.post.taken.clear()
    world.send()
    assert [mail["Message-ID"] for _, mail in world.post.taken] == [first]


def test_a_choice_of_papers_has_one_key_a_day() -> None:
    today, a, b = date(2026, 11, 24), Selection("a"), Selection("b")
    assert key_of(1, a, today) == key_of(1, a, today)
    assert len({key_of(1, a, today), key_of(1, b, today), key_of(7, a, today), key_of(1, a, date(2026, 11, 25))}) == 4


@pytest.mark.parametrize("answer", ["554 5.7.1 blocked by policy", "550 5.1.1 no such user", "552 5.2.2 mailbox full"])
def test_a_refused_recipient_does_not_end_the_round(world: World, answer: str) -> None:
    world.subscribe("ada", "bob", "cyd", "dan")
    world.post.recipient_answers["bob@example.org"] = [answer]
    delivery = world.send()
    assert world.names() == ["ada", "cyd", "dan"]
    assert delivery.failed == [("bob@example.org", answer)]
    assert world.store.digests("bob@example.org")[0].state == "failed"
    # A policy says nothing about the mailbox, so the next round tries again.
    expected = "active" if "5.7" in answer else "bounced"
    assert world.store.subscriber("bob@example.org").state == expected


@pytest.mark.parametrize("q", [f"tag:{'x' * 70}", f'-tag:"{"y" * 300}"', f"tag:{'x' * 70} robots"])
def test_no_search_ends_the_round(world: World, q: str) -> None:
    world.subscribe("ada", "cyd", "dan")
    world.subscribe("bob", q=q)
    delivery = world.send(always=True)
    assert world.names() == ["ada", "bob", "cyd", "dan"]
    assert not delivery.failed


def test_a_digest_that_cannot_be_made_is_listed_and_the_others_go_out(world: World, monkeypatch) -> None:
    world.subscribe("ada", "cyd", "dan")
    world.subscribe("bob", q="broken")
    search = PaperStore.search

    def breaks(self, q, **options):
        if "broken" in q:
            raise RuntimeError("the index is gone")
        return search(self, q, **options)

    monkeypatch.setattr(PaperStore, "search", breaks)
    delivery = world.send()
    assert world.names() == ["ada", "cyd", "dan"]
    assert delivery.failed == [("bob@example.org", "the index is gone")]
