"""`trued papers digest` and its kin, from the asking to the second run that sends nothing, through a real server."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from mail_server import mail_server

from trued.cli.main import main
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore, default_store
from trued.feed.store.records import Subscriber


@pytest.fixture
def post(monkeypatch):
    with mail_server() as post:
        monkeypatch.setenv("TRUED_SMTP_URL", f"smtp://127.0.0.1:{post.port}")
        monkeypatch.setenv("TRUED_MAIL_FROM", "papers@example.org")
        yield post


@pytest.fixture(autouse=True)
def committed(tmp_path, monkeypatch):
    """A store of the user's own with a paper that came in yesterday and one that came in now."""
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    for name in ("TRUED_DATABASE_URL", "TRUED_SMTP_URL", "TRUED_MAIL_FROM", "TRUED_PUBLIC_URL", "TRUED_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    yesterday = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
    early = PaperStore(f"sqlite:///{tmp_path}/data/papers.db", clock=lambda: yesterday)
    early.ingest([FeedPaper("Of Yesterday", "One.", "2401.00001", published=date(2024, 1, 1))])
    early.close()
    store = default_store()
    store.ingest([FeedPaper("Of Today", "Two words.", "2401.00002", published=date(2024, 1, 2))])
    yield store
    store.close()


def test_asked_confirmed_served_and_left(post, monkeypatch, capsys) -> None:
    assert main(["papers", "subscribe", "Ada@example.org"]) == 0
    token = re.search(r"--confirm (\S+)", post.taken[0][1].get_content())[1]
    assert main(["papers", "subscribe", "--confirm", token]) == 0
    assert "ada@example.org gets a daily digest of the trending papers" in capsys.readouterr().out

    assert main(["papers", "digest"]) == 2
    assert "TRUED_PUBLIC_URL is not set" in capsys.readouterr().err
    monkeypatch.setenv("TRUED_PUBLIC_URL", "https://papers.example.org")
    assert main(["papers", "digest"]) == 0
    assert capsys.readouterr().out == "1 sent\n"
    assert main(["papers", "digest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sent": [], "nothing": [], "had": ["ada@example.org"], "failed": []}
    assert post.addresses() == ["ada@example.org"] * 2
    text = post.taken[1][1].get_body(("plain",)).get_content()
    assert "Of Yesterday" in text
    assert "Of Today" not in text

    assert main(["papers", "subscribers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "active"
    assert main(["papers", "unsubscribe", "ADA@example.org"]) == 0
    assert main(["papers", "unsubscribe", "ada@example.org"]) == 0
    assert capsys.readouterr().out == "ada@example.org gets no more digests\nada@example.org got none\n"
    assert main(["papers", "subscribers"]) == 0
    assert re.search(r"ada@example.org\s+daily\s+trending\s+gone", capsys.readouterr().out)


def test_one_digest_to_one_address_once_a_day(post, committed, capsys) -> None:
    words = ["papers", "digest", "--to", "ada@example.org", "--query", "two words"]
    assert main(words) == 0
    assert main(words) == 0
    assert capsys.readouterr().out == "1 sent\n1 had theirs\n"
    ((_, mail),) = post.taken
    assert mail["Subject"] == "New papers for “two words”: 1 paper, the last day"
    assert "List-Unsubscribe" not in mail
    assert main([*words[:-1], "nothing of the kind"]) == 0
    assert capsys.readouterr().out == "1 with nothing new\n"
    assert main(["papers", "digest", "--to", "ada@example.org", "--since", "1w", "--max", "1"]) == 0
    assert "1 more came in." in post.taken[-1][1].get_body(("plain",)).get_content()
    assert committed.subscribers(state=None) == []


def test_a_dry_run_writes_a_mail_and_sends_nothing(post, committed, tmp_path, capsys) -> None:
    assert main(["papers", "digest", "--to", "ada@example.org", "--dry-run", "out.eml"]) == 0
    mail = message_from_bytes((tmp_path / "out.eml").read_bytes(), policy=policy.default)
    assert mail["To"] == "ada@example.org"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert "Of Today" in mail.get_body(("plain",)).get_content()
    told = capsys.readouterr()
    assert "nothing was sent" in told.err
    assert told.out == ""
    assert not post.attempts
    assert committed.digests() == []


def test_what_failed_is_an_exit_code(post, committed, monkeypatch, capsys) -> None:
    monkeypatch.setenv("TRUED_PUBLIC_URL", "https://papers.example.org")
    committed.put_subscriber(Subscriber("ada@example.org", "daily", state="active"))
    post.recipient_answers["ada@example.org"] = ["550 5.1.1 no such user"]
    assert main(["papers", "digest"]) == 1
    assert capsys.readouterr().out == "1 failed\n  ada@example.org: 550 5.1.1 no such user\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digest", "--max", "0"], "leaves no paper"),
        (["digest", "--query", "x"], "give --to as well"),
        (["digest", "--to", "ada@x.org", "--period", "daily"], "give one of the two"),
        (["digest", "--to", "ada@x.org", "--since", "0d"], "is no stretch of time"),
        (["digest", "--to", "ada"], "'ada' is no e-mail address"),
        (["digest", "--to", "ada@x.org"], "no mail server is known; set TRUED_SMTP_URL"),
        (["subscribe"], "give an address, such as"),
        (["subscribe", "ada@x.org", "--confirm", "x"], "or --confirm with the token from its mail"),
        (["subscribe", "--confirm", "x"], "not one of ours"),
        (["subscribe", "ada@x.org"], "set TRUED_SMTP_URL"),
        (["unsubscribe", "ada"], "is no e-mail address"),
    ],
)
def test_bad_use(capsys, words: list[str], said: str) -> None:
    assert main(["papers", *words]) == 2
    assert said in capsys.readouterr().err


def test_nobody_yet(capsys) -> None:
    assert main(["papers", "subscribers"]) == 0
    assert "No subscribers yet" in capsys.readouterr().out
