"""`trued papers ingest` and `sync`: what came in is told, and the same again changes nothing."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_web import Asked, LocalWeb, Reply
from PIL import Image

from trued.cli.papers.app import app
from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import default_store

LONG = "We turn one spoke after another, and measure how straight the wheel is. " * 4
PAGE = "\n\n".join(f"Wheel {n}\n\n{LONG}\n\n  • 4 authors\n·\nApr {n}, 2024 {n}" for n in range(1, 4))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TRUED_CACHE", "TRUED_DATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.delenv("TRUED_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWeb]:
    with LocalWeb() as web:
        monkeypatch.setenv("TRUED_HF_URL", web.url)
        monkeypatch.setenv("TRUED_ARXIV_URL", web.url)
        monkeypatch.setattr("trued.feed.sources.online.ARXIV_EVERY", 0.0)
        monkeypatch.setattr("trued.feed.http.client.EVERY", 0.0)
        yield web


def call(*tokens: str) -> None:
    app(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")


def parsed(capsys: pytest.CaptureFixture[str], *tokens: str) -> Any:
    capsys.readouterr()
    call(*tokens, "--json")
    return json.loads(capsys.readouterr().out)


def stored() -> list[Any]:
    store = default_store()
    try:
        return store.listing()[0]
    finally:
        store.close()


def counts(told: Any) -> tuple[int, int, int]:
    return told["added"], told["changed"], told["unchanged"]


def item(n: int, title: str | None = None) -> dict[str, Any]:
    return {"paper": {"id": f"2512.{n:05}", "title": title or f"Paper {n}", "upvotes": n}}


def test_a_file_comes_in_and_comes_in_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "page.txt").write_text(f"{PAGE}\n\nstray\n")
    call("ingest", "page.txt")
    assert capsys.readouterr().out.splitlines() == [
        "the page: 3 added, 0 changed, 0 unchanged, 1 refused",
        "  refused: line 25: 'stray': the page ends before the abstract",
    ]

    told = parsed(capsys, "ingest", "page.txt")
    assert counts(told) == (0, 0, 3)
    assert told["refused"] == [{"where": "line 25", "why": "'stray': the page ends before the abstract"}]

    (place / "page.txt").write_text(PAGE.replace("Apr 1, 2024 1", "Apr 1, 2024 9"))
    assert counts(parsed(capsys, "ingest", "page.txt")) == (0, 1, 2)
    assert {paper.paper.title: paper.paper.comments for paper in stored()} == {"Wheel 1": 9, "Wheel 2": 2, "Wheel 3": 3}


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(PAGE.encode())))

    assert counts(parsed(capsys, "ingest", "-", "--count-means", "upvotes")) == (3, 0, 0)
    assert {paper.upvotes for paper in stored()} == {1, 2, 3}


def test_the_shipped_page_needs_no_network(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRUED_OFFLINE", "1")

    told = parsed(capsys, "ingest", "page")

    assert counts(told) == (50, 0, 0)
    assert told["source"] == "the page of 2025-12-10"
    assert counts(parsed(capsys, "ingest", "page")) == (0, 0, 50)
    assert {paper.slug is not None for paper in stored()} == {True}


def test_a_title_of_a_card_comes_in_under_its_id(place: Path) -> None:
    (place / "page.txt").write_text(f"Alignment for Honesty\n\n{LONG}")

    call("ingest", "page.txt")

    (paper,) = stored()
    assert (paper.slug, paper.paper.arxiv) == ("honesty", "2312.07000")


def test_a_day_of_the_feed(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    web.answer("/api/daily_papers", Reply([item(1), item(2), {"id": 3}]))

    told = parsed(capsys, "ingest", "daily", "--date", "2025-12-10")

    assert counts(told) == (2, 0, 0)
    assert told["source"] == "Hugging Face, 2025-12-10"
    assert told["refused"] == [{"where": "entry 3", "why": "it has no title"}]
    assert {paper.day for paper in stored()} == {date(2025, 12, 10)}
    assert web.asked[0].query["date"] == "2025-12-10"
    assert counts(parsed(capsys, "ingest", "daily", "--date", "2025-12-10", "--offline")) == (0, 0, 2)
    assert len(web.asked) == 1


def test_a_query_of_arxiv_and_one_id(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    feed = '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/{}</id><title>{}</title></entry></feed>'
    web.answer("/api/query", Reply(feed.format("2501.00001v1", "One")))
    assert counts(parsed(capsys, "ingest", "arxiv", "--query", "cat:cs.LG", "--limit", "1")) == (1, 0, 0)

    web.answer("/api/query", Reply(feed.format("2501.00002v1", "Two")))
    assert counts(parsed(capsys, "ingest", "2501.00002")) == (1, 0, 0)


def test_titles_are_resolved_where_there_is_no_doubt(
    web: LocalWeb, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(asked: Asked) -> Reply:
        known = "Wheel 2" if "ti:wheel" in asked.query["search_query"] else "x"
        entry = (
            f"<entry><id>http://arxiv.org/abs/2404.00002v1</id><title>{known}</title><summary>All.</summary></entry>"
        )
        return Reply(f'<feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>')

    web.answer("/api/query", answer)
    web.answer("/api/papers/search", Reply([]))
    (place / "page.txt").write_text(PAGE)

    call("ingest", "page.txt", "--resolve")

    assert "1 of 3 titles without an id were found on arXiv" in capsys.readouterr().err
    found = {paper.paper.title: (paper.paper.arxiv, paper.paper.abstract) for paper in stored()}
    assert found["Wheel 2"] == ("2404.00002", "All.")
    assert found["Wheel 1"][0] is None
    assert len(found) == 3


TODAY = datetime.now(UTC).date()


def test_sync_brings_the_last_days_and_their_counts(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(asked: Asked) -> Reply:
        day = date.fromisoformat(asked.query["date"])
        return Reply([item(day.day * 100 + n) for n in range(2)] if day.weekday() < 5 else [])

    web.answer("/api/daily_papers", answer)

    told = parsed(capsys, "sync")
    asked = [one.query["date"] for one in web.asked]
    assert asked == [(TODAY - timedelta(days=n)).isoformat() for n in range(6, -1, -1)]
    assert counts(told) == (10, 0, 0)

    assert counts(parsed(capsys, "sync")) == (0, 0, 10)
    identity = f"2512.{TODAY.day * 100:05}"
    upvoted = {"paper": {"id": identity, "title": "T"}, "numComments": 7}
    web.answer("/api/daily_papers", lambda asked: Reply([upvoted] if asked.query["date"] == TODAY.isoformat() else []))
    parsed(capsys, "sync", "--days", "2")
    assert {paper.comments for paper in stored() if paper.paper.arxiv == identity} == {7}


def test_the_daily_feeds_pictures_come_in_with_its_papers(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(buffer, "PNG")
    web.answer("/x.png", Reply(buffer.getvalue(), headers={"Content-Type": "image/png"}))
    web.answer("/api/daily_papers", Reply([item(1) | {"thumbnail": f"{web.url}/x.png"}]))
    for command in (["ingest", "daily", "--date", "2025-12-10"], ["sync", "--days", "1"]):
        call(*command)
        store = default_store()
        assert list(store.thumbnail_digests([1])) == [1]
        store.set_thumbnail(1, "", None)
        store.close()
    assert web.paths().count("/x.png") == 2


@pytest.mark.parametrize(("away", "asked"), [(3, 7), (20, 21), (200, 62)])
def test_sync_goes_back_to_the_newest_listing(web: LocalWeb, away: int, asked: int) -> None:
    store = default_store()
    store.ingest([FeedPaper("Wheels", source="huggingface")], day=TODAY - timedelta(days=away))
    store.close()
    web.answer("/api/daily_papers", Reply([]))

    call("sync")

    days = [one.query["date"] for one in web.asked]
    assert days == [(TODAY - timedelta(days=n)).isoformat() for n in range(asked - 1, -1, -1)]


def test_a_source_that_stopped_is_noticed(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    web.answer("/api/daily_papers", Reply([]))

    call("sync", "--days", "2")

    assert "no papers were listed in 2 days; the source may have stopped" in capsys.readouterr().err


def test_a_sync_that_fails_half_way_keeps_what_came_in(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = (Reply([item(n)]) for n in (1, 2, 3))
    web.answer("/api/daily_papers", first, Reply({"error": "x"}, status=400), first, second, third)

    with pytest.raises(InputError, match="answered 400"):
        call("sync", "--days", "3")
    assert [paper.paper.title for paper in stored()] == ["Paper 1"]
    assert counts(parsed(capsys, "sync", "--days", "3")) == (2, 0, 1)
    assert len({paper.day for paper in stored()}) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_sync_is_completed_by_the_next(web: LocalWeb, capsys: pytest.CaptureFixture[str]) -> None:
    web.answer("/api/daily_papers", Reply([item(1)]), Reply([item(2)], stall=60.0), Reply([item(2)]))
    process = subprocess.Popen(
        [sys.executable, "-m", "trued.cli.main", "papers", "sync", "--days", "2"],
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(1200):
            if len(web.asked) == 2:
                break
            time.sleep(0.05)
        assert len(web.asked) == 2
    finally:
        process.kill()
        process.wait()

    assert [paper.paper.title for paper in stored()] == ["Paper 1"]
    told = parsed(capsys, "sync", "--days", "2")
    assert told["added"] == 1
    assert {paper.paper.title for paper in stored()} == {"Paper 1", "Paper 2"}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["ingest", "nowhere.txt"], "'nowhere.txt' is no file, arXiv id, DOI or address; the other sources are daily"),
        (
            ["ingest", "2501.00001", "--week", "2025-W49"],
            "--week goes with daily; write `trued papers ingest daily",
        ),
        (["ingest", "daily", "--date", "2025-12-10", "--month", "2025-12"], "--date and --month together"),
        (["ingest", "daily", "--date", "10.12.2025"], "--date '10.12.2025' is no day; write it as 2026-11-24"),
        (["ingest", "arxiv"], "arxiv and --query go together"),
        (["ingest", "daily", "--query", "x"], "arxiv and --query go together"),
        (["ingest", "x.txt", "--limit", "3"], "--limit goes with daily and arxiv"),
        (["ingest", "http://127.0.0.1:1/x"], "127.0.0.1 is no public address, and is not fetched"),
        (["ingest", "https://example.org/never", "--offline"], "was never fetched, and this is offline"),
        (["sync", "--days", "0"], "--days 0: give from 1 to 62"),
        (["ingest", "empty"], "empty is empty; expected"),
    ],
)
def test_bad_use_gets_its_sentence_and_leaves_no_store(place: Path, tokens: list[str], message: str) -> None:
    (place / "empty").touch()

    with pytest.raises(InputError, match=message):
        call(*tokens)
    assert not list(place.rglob("papers.db"))


def test_the_commands_are_named_without_importing_what_they_need() -> None:
    code = "import sys; from trued.cli.main import main; main(['papers', '--help'])"
    code += "; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "ingest" in done.stdout
    assert "sync" in done.stdout
    assert {"sqlalchemy", "httpx2", "torch", "alembic", "rapidfuzz"}.isdisjoint(done.stderr.split())
