"""Feeds and exports over HTTP: the address holds the choice, and what a reader has already isn't sent again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import bibtexparser
import feedparser
import pytest
from defusedxml import ElementTree
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from trued.errors import InputError
from trued.feed.paper import Author, FeedPaper
from trued.feed.paper_store import PaperStore
from trued.web import feeds
from trued.web.security import Limiter
from trued.web.settings import Settings

HERE = "http://127.0.0.1:8000"


class Site:
    """The router alone, over a store whose clock the test sets."""

    def __init__(self, folder) -> None:
        self.now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        self.store = PaperStore(f"sqlite:///{folder}/papers.db", clock=lambda: self.now, verdicts=dict)
        self.store.ingest([
            FeedPaper(
                "Continuous Alignment", "One.", "2611.00001", published=date(2026, 11, 23), upvotes=3,
                authors=(Author("Ada Lovelace"),),
            ),
            FeedPaper("Robots That Dance", "Two.", "2611.00002", published=date(2026, 11, 16), upvotes=9),
            FeedPaper("Old Alignment", "Three.", "2610.00003", published=date(2026, 10, 1)),
        ])  # fmt: skip
        app = FastAPI()
        app.state.store, app.state.settings = self.store, Settings()
        app.state.searches = Limiter(6000, burst=6000)
        app.include_router(feeds.router)
        app.add_exception_handler(InputError, lambda _, error: JSONResponse({"detail": str(error)}, 422))
        app.add_exception_handler(RequestValidationError, lambda _, error: JSONResponse({"detail": str(error)}, 422))
        self.client = TestClient(app, base_url=HERE, client=("127.0.0.1", 50000))

    def get(self, path: str, status: int = 200, **headers: str):
        answer = self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status_code == status, answer.text
        return answer

    def titles(self, path: str) -> list[str]:
        return [entry.title for entry in feedparser.parse(self.get(path).content).entries]


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.store.close()


@pytest.mark.parametrize(
    ("syntax", "media_type"),
    [("atom", "application/atom+xml"), ("rss", "application/rss+xml"), ("json", "application/feed+json")],
)
def test_a_feed_of_everything(site: Site, syntax: str, media_type: str) -> None:
    answer = site.get(f"/feed.{syntax}")
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    if syntax == "json":
        feed = answer.json()
        assert feed["feed_url"] == f"{HERE}/feed.json"
        assert [item["title"] for item in feed["items"]] == [
            "Continuous Alignment",
            "Robots That Dance",
            "Old Alignment",
        ]
    else:
        feed = feedparser.parse(answer.content)
        assert not feed.bozo
        assert {link.rel: link.href for link in feed.feed.links}["self"] == f"{HERE}/feed.{syntax}"
        assert len(feed.entries) == 3


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("q=alignment", ["Continuous Alignment", "Old Alignment"]),
        ("q=continuous+alignment", ["Continuous Alignment"]),
        ("q=continuous+alignment&mode=keyword&order=relevance", ["Continuous Alignment", "Old Alignment"]),
        ("min_upvotes=3", ["Continuous Alignment", "Robots That Dance"]),
        ("order=upvotes&limit=1", ["Robots That Dance"]),
        ("since=2026-11-01&until=2026-11-20", ["Robots That Dance"]),
        ("day=2026-11-23", ["Continuous Alignment"]),
        ("date=2026-11-23", ["Continuous Alignment"]),
        ("week=2026-W47", ["Robots That Dance"]),
        ("month=2026-10", ["Old Alignment"]),
        ("month=2026-11&until=2026-11-20", ["Robots That Dance"]),
        ("month=2020-01", []),
        ("q=%22%20OR%20NEAR(*", []),
        ("page=2&unknown=x&order=new&limit=1", ["Continuous Alignment"]),
    ],
)
def test_the_address_holds_the_choice(site: Site, query: str, titles: list[str]) -> None:
    assert site.titles(f"/feed.atom?{query}") == titles
    entries = bibtexparser.parse_string(site.get(f"/export.bib?{query}").text).entries
    assert sorted(entry.fields_dict["title"].value for entry in entries) == sorted(titles)


def test_a_feed_knows_its_own_address(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUED_PUBLIC_URL", "https://papers.example.org/")
    feed = feedparser.parse(site.get("/feed.atom?q=a%22%3E%3Cx", host="evil.example").content).feed
    assert feed.id == "https://papers.example.org/feed.atom?q=a%22%3E%3Cx"
    assert feed.link == "https://papers.example.org/search?q=a%22%3E%3Cx"
    assert b"evil.example" not in site.get("/feed.atom", host="evil.example").content


def test_what_a_reader_has_is_not_sent_again(site: Site) -> None:
    first = site.get("/feed.atom")
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    assert modified == "Tue, 24 Nov 2026 12:00:00 GMT"
    for headers in ({"if_none_match": etag}, {"if_none_match": f'"x", W/{etag}'}, {"if_modified_since": modified}):
        again = site.get("/feed.atom", 304, **headers)
        assert again.content == b""
        assert again.headers["etag"] == etag
    site.get("/feed.atom", 200, if_none_match='"x"', if_modified_since=modified)  # the ETag goes first
    site.get("/feed.atom", 200, if_modified_since="yesterday")
    site.get("/feed.atom", 200, if_modified_since="Tue, 24 Nov 2026 11:59:59 GMT")

    site.now += timedelta(hours=1)
    site.store.ingest([FeedPaper("New", arxiv="2611.00009", published=date(2026, 11, 24))])
    assert site.get("/feed.atom", if_none_match=etag).headers["last-modified"] == "Tue, 24 Nov 2026 13:00:00 GMT"
    site.get("/feed.atom", 200, if_modified_since=modified)


def test_a_date_says_nothing_of_a_feed_that_moves_by_votes(site: Site) -> None:
    path = "/feed.atom?min_upvotes=4"
    first = site.get(path)
    site.store.vote("ada", site.store.find(arxiv="2611.00001").uid)
    again = site.get(path, 200, if_none_match=first.headers["etag"])
    assert len(feedparser.parse(again.content).entries) == 2
    site.get(path, 200, if_modified_since=again.headers["last-modified"])
    site.get(path, 304, if_none_match=again.headers["etag"])


@pytest.mark.parametrize("suffix", ["bib", "ris", "csl.json", "csv", "jsonl", "md"])
def test_papers_are_a_file_in_every_format(site: Site, suffix: str) -> None:
    uid = site.store.find(arxiv="2611.00001").uid
    every, single = site.get(f"/export.{suffix}"), site.get(f"/papers/{uid}.{suffix}")
    assert every.headers["content-disposition"] == f'attachment; filename="papers.{suffix}"'
    assert single.headers["content-disposition"] == f'attachment; filename="2611.00001.{suffix}"'
    assert "Old Alignment" in every.text
    assert "Continuous Alignment" in single.text
    assert "Old Alignment" not in single.text
    if suffix == "csl.json":
        assert json.loads(single.text)[0]["id"] == "lovelace2026continuous"


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/feed.xml", 404, "there are feed.atom, feed.rss and feed.json"),
        ("/export.pdf", 404, "there is no format .pdf"),
        ("/papers/999.bib", 404, "999"),
        ("/papers/1.exe", 404, "there is no format .exe"),
        ("/feed.atom?week=2026-W99", 422, "is no day, week or month"),
        ("/feed.atom?order=best", 422, "order"),
        ("/feed.atom?limit=0", 422, "limit"),
        ("/feed.atom?since=soon", 422, "since"),
        ("/feed.atom?q=" + "x" * 401, 422, "q"),
        ("/export.bib?field=cooking", 422, "field"),
    ],
)
def test_what_there_is_not_is_said(site: Site, path: str, status: int, sentence: str) -> None:
    assert sentence in site.get(path, status).json()["detail"]


def test_saved_searches_are_a_list_of_feeds(site: Site) -> None:
    site.store.save_query("owner", "mine", "alignment author:lovelace")
    root = ElementTree.fromstring(site.get("/queries.opml").content)
    url = root.find("body/outline").get("xmlUrl")
    assert url.startswith(HERE)
    assert site.titles(url.removeprefix(HERE)) == ["Continuous Alignment"]


def test_tags_are_those_of_who_asks(site: Site) -> None:
    site.store.tag("owner", site.store.find(arxiv="2611.00001").uid, "mine")
    assert site.titles("/feed.atom?tag=mine") == ["Continuous Alignment"]
    assert site.get("/feed.atom?tag=mine").headers["cache-control"] == "private, no-cache"
    site.client.headers["x-forwarded-for"] = "203.0.113.9"  # through a proxy: nobody is the owner
    assert site.titles("/feed.atom?tag=mine") == []
    assert site.client.get("/queries.opml").status_code == 401
