"""`trued papers export` and `feed`: files that are read back, and bad use found before anything is read."""

from __future__ import annotations

import json
from datetime import date

import bibtexparser
import feedparser
import pytest

from trued.cli.main import main
from trued.feed.paper import Author, FeedPaper
from trued.feed.paper_store import default_store
from trued.feed.sources import online as fetch
from trued.feed.sources.reading import Reading

ADA = Author("Ada Lovelace")


@pytest.fixture(autouse=True)
def committed(tmp_path, monkeypatch):
    """A store of the user's own with two papers."""
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TRUED_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    store = default_store()
    store.ingest([
        FeedPaper("Continuous Alignment", "One.", "2611.00001", published=date(2026, 11, 23), authors=(ADA,)),
        FeedPaper("Robots That Dance", "Two.", "2611.00002", published=date(2026, 11, 16), upvotes=9),
    ])  # fmt: skip
    yield store
    store.close()


def test_bibtex_on_standard_output_with_a_warning_beside_it(capsys) -> None:
    assert main(["papers", "export"]) == 0
    told = capsys.readouterr()
    assert {entry.key for entry in bibtexparser.parse_string(told.out).entries} == {
        "lovelace2026continuous", "anonymous2026robots",
    }  # fmt: skip
    assert "1 paper has no authors' names" in told.err
    assert "--resolve" in told.err


@pytest.mark.parametrize("name", ["a.bib", "a.ris", "a.csl.json", "a.csv", "a.jsonl", "a.md"])
def test_the_ending_says_the_format(capsys, tmp_path, name: str) -> None:
    assert main(["papers", "export", name, "--query", "continuous alignment"]) == 0
    text = (tmp_path / name).read_text()
    assert "Lovelace" in text
    assert "Robots" not in text
    assert f"{name}: 1 papers" in capsys.readouterr().err


def test_what_is_exported_is_ingested_again(tmp_path, monkeypatch, capsys) -> None:
    assert main(["papers", "export", "all.jsonl"]) == 0
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "other"))
    assert main(["papers", "ingest", "all.jsonl"]) == 0
    store = default_store()
    assert store.find(arxiv="2611.00001").paper.authors == (ADA,)
    assert store.find(arxiv="2611.00002").paper.upvotes == 9
    store.close()


def test_bookmarks(committed, capsys) -> None:
    committed.bookmark("owner", committed.find(arxiv="2611.00002").uid)
    assert main(["papers", "export", "--bookmarks", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == "- [Robots That Dance](https://arxiv.org/abs/2611.00002) · 2026-11-16\n"


def test_authors_are_asked_for_once_and_kept(committed, monkeypatch, capsys) -> None:
    asked = []

    def answer(*, ids):
        asked.extend(ids)
        return Reading(
            (FeedPaper("Robots That Dance", arxiv="2611.00002", authors=(Author("Bob Roe"),), source="arxiv"),)
        )

    monkeypatch.setattr(fetch, "fetch_arxiv", answer)
    for _ in range(2):
        assert main(["papers", "export", "--resolve"]) == 0
        told = capsys.readouterr()
        assert "roe2026robots" in told.out
        assert "no authors" not in told.err
    assert asked == ["2611.00002"]


@pytest.mark.parametrize("name", ["out.atom", "out.rss", "out.json"])
def test_a_feed_in_a_file(tmp_path, name: str) -> None:
    words = ["--query", "alignment", "--address", "https://x.org/f"]
    assert main(["papers", "feed", name, *words]) == 0
    data = (tmp_path / name).read_bytes()
    if name.endswith(".json"):
        titles = [item["title"] for item in json.loads(data)["items"]]
    else:
        titles = [entry.title for entry in feedparser.parse(data).entries]
    assert titles == ["Continuous Alignment"]
    before = data
    assert main(["papers", "feed", name, *words]) == 0
    assert (tmp_path / name).read_bytes() == before


def test_saved_searches_as_opml(committed, tmp_path) -> None:
    committed.save_query("owner", "mine", "alignment")
    assert main(["papers", "feed", "q.opml", "--address", "https://x.org/"]) == 0
    assert 'xmlUrl="https://x.org/feed.atom?q=alignment"' in (tmp_path / "q.opml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "library.json"], "does not say its format"),
        (["export", "--limit", "0"], "leaves no paper"),
        (["export", "--since", "soon"], "--since 'soon' is no day"),
        (["export", "--bookmarks", "--query", "x"], "--bookmarks takes all of them"),
        (["export", "a.bib", "--zotero", "users/1"], "into a library and not into a file"),
        (["export", "--zotero", "mine"], "is no Zotero library"),
        (["export", "--zotero", "users/1"], "TRUED_ZOTERO_KEY is not set"),
        (["feed", "out.xml"], "out.xml does not say its format; end it in .atom"),
        (["feed", "--limit", "0"], "leaves no paper"),
    ],
)
def test_bad_use(capsys, tmp_path, monkeypatch, words: list[str], said: str) -> None:
    monkeypatch.delenv("TRUED_ZOTERO_KEY", raising=False)
    assert main(["papers", *words]) == 2
    assert said in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name != "data"]
