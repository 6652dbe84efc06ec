"""Feeds: a feed reader reads them, they stay the same while nothing changes, and nothing in a paper breaks them."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import feedparser
import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st
from stored_papers import MOMENT, sample_papers, stored

from trued.feed.paper import FeedPaper
from trued.feed.reference import permanent_id
from trued.feed.store.records import SavedQuery
from trued.feed.syndication.formats import START, Channel, opml, render

CHANNEL = Channel("Daily papers: a & b", "https://x.org/?q=a+b", "https://x.org/feed?q=a+b&c=<d>")


def read(papers, syntax, channel: Channel = CHANNEL):
    found = feedparser.parse(render(papers, channel, syntax).body)
    assert not found.bozo, found.get("bozo_exception")
    return found


@pytest.mark.parametrize("syntax", ["atom", "rss"])
def test_a_feed_reader_reads_what_was_written(syntax) -> None:
    committed = sample_papers()
    found = read(committed, syntax)
    assert found.version == {"atom": "atom10", "rss": "rss20"}[syntax]
    assert found.feed.title == CHANNEL.title
    assert found.feed.link == CHANNEL.home
    assert {link.rel: link.href for link in found.feed.links}["self"] == CHANNEL.address
    assert [entry.title for entry in found.entries] == [one.paper.title for one in committed]
    assert [entry.id for entry in found.entries] == [permanent_id(one.paper) for one in committed]
    first, second, third, last = found.entries
    assert first.link == "https://arxiv.org/abs/2405.15589"
    assert second.link == "https://doi.org/10.1000/xyz_1(2)"
    assert last.link == CHANNEL.home
    assert first.published_parsed[:3] == (2024, 5, 24)
    assert last.published_parsed[:5] == (2026, 11, 24, 9, 30)  # unknown: when it came in
    assert [tag.term for tag in first.tags] == ["cs.LG", "cs.CR"]
    assert first.summary.startswith("Attacks at 50% of the cost")
    assert 'href="https://github.com/a/b"' in first.content[0].value
    assert "trued papers show c-advul" in first.content[0].value
    assert "Secret" not in render(committed, CHANNEL, syntax).body.decode()
    assert "Jane Roe" in str(third)


ABSTRACTS = ("For x<y and y>z, <b>bold</b> & more", "<script>alert(1)</script>", "a &lt; b &amp; c", "]]> 5 > 4")


@pytest.mark.parametrize("abstract", ABSTRACTS)
def test_an_abstract_is_text_and_loses_nothing(abstract: str) -> None:
    papers = [stored("A Title", abstract=abstract)]
    channel = ElementTree.fromstring(render(papers, CHANNEL, "rss").body).find("channel")
    # A reader takes what XML holds for HTML: unescaped once more, it is the abstract.
    assert html.unescape(channel.find("item").find("description").text) == abstract
    assert "<" not in channel.find("item").find("description").text
    content = channel.find("item").find("{http://purl.org/rss/1.0/modules/content/}encoded").text
    assert html.unescape(content.removeprefix("<p>").removesuffix("</p>")) == abstract
    entry = ElementTree.fromstring(render(papers, CHANNEL, "atom").body).find("{*}entry")
    summary = entry.find("{*}summary")
    assert (summary.get("type", "text"), summary.text) == ("text", abstract)
    item = json.loads(render(papers, CHANNEL, "json").body)["items"][0]
    assert item["summary"] == abstract
    assert html.unescape(item["content_html"].removeprefix("<p>").removesuffix("</p>")) == abstract


def test_atom_names_every_author_and_when_an_entry_changed() -> None:
    first = read(sample_papers(), "atom").entries[0]
    assert [author.name for author in first.authors] == ["Sophie Xhonneux", "Leo Schwinn"]
    assert first.updated == "2026-11-24T09:30:15+00:00"
    unknown = read([stored("Nothing"), stored("Counted", uid=2, authors_count=3)], "atom").entries
    assert [entry.author for entry in unknown] == ["unknown", "3 authors"]  # and not the feed's own
    root = ElementTree.fromstring(render(sample_papers(), CHANNEL, "atom").body)
    space = "{http://www.w3.org/2005/Atom}"
    for entry in root.findall(f"{space}entry"):  # RFC 4287: at most one alternate link
        assert len([link for link in entry.findall(f"{space}link") if link.get("rel", "alternate") == "alternate"]) == 1


def test_json_feed() -> None:
    feed = json.loads(render(sample_papers(), CHANNEL, "json").body)
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert (feed["feed_url"], feed["home_page_url"]) == (CHANNEL.address, CHANNEL.home)
    first = feed["items"][0]
    assert first["id"] == permanent_id(sample_papers()[0].paper)
    assert first["external_url"] == "https://github.com/a/b"
    assert first["authors"] == [{"name": "Sophie Xhonneux"}, {"name": "Leo Schwinn"}]
    assert first["date_published"] == "2024-05-24T00:00:00+00:00"
    assert "&amp; more" in first["content_html"]
    for item in feed["items"]:  # required by the specification
        assert item["id"]
        assert item["content_html"]
    assert "feed_url" not in json.loads(render([], replace(CHANNEL, address=None), "json").body)


@pytest.mark.parametrize("syntax", ["atom", "rss", "json"])
def test_the_same_papers_are_the_same_bytes_and_votes_change_nothing(syntax) -> None:
    committed = sample_papers()
    once = render(committed, CHANNEL, syntax)
    voted = [replace(one, votes=one.votes + 9, trending=3.0) for one in committed]
    assert render(voted, CHANNEL, syntax).etag == once.etag
    later = [replace(committed[0], changed=MOMENT + timedelta(hours=1)), *committed[1:]]
    changed = render(later, CHANNEL, syntax)
    assert changed.etag != once.etag
    assert changed.modified - once.modified == timedelta(hours=1)
    assert once.etag.startswith('"')
    assert once.modified.microsecond == 0  # HTTP's dates have none


@pytest.mark.parametrize("syntax", ["atom", "rss", "json"])
def test_an_empty_period_is_an_empty_feed(syntax) -> None:
    rendered = render([], CHANNEL, syntax)
    assert rendered.modified == START
    if syntax == "json":
        assert json.loads(rendered.body)["items"] == []
    else:
        found = read([], syntax)
        assert found.entries == []
        assert found.feed.title == CHANNEL.title


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_breaks_a_feed(title: str, abstract: str) -> None:
    paper = stored(title or "x", title or "y", abstract=abstract, categories=(abstract,), organization=title)
    for syntax, entry in (("atom", "{http://www.w3.org/2005/Atom}entry"), ("rss", "item")):
        assert len(list(ElementTree.fromstring(render([paper], CHANNEL, syntax).body).iter(entry))) == 1
    assert len(json.loads(render([paper], CHANNEL, "json").body)["items"]) == 1


def test_markup_in_a_paper_stays_text() -> None:
    evil = stored("<script>alert(1)</script>\x0b", abstract="<img src=x onerror=alert(1)>]]>", arxiv="2401.00001")
    for syntax in ("atom", "rss"):
        entry = read([evil], syntax).entries[0]
        assert "<img" not in entry.content[0].value
        assert "&lt;img" in entry.content[0].value
    assert "<img" not in json.loads(render([evil], CHANNEL, "json").body)["items"][0]["content_html"]


def test_a_paper_keeps_its_id() -> None:
    # Written down: a change here would show every reader every paper anew.
    assert permanent_id(FeedPaper("T", arxiv="2405.15589")) == "urn:uuid:4934efdc-ec5e-5f8f-bcba-33eb07e9593d"
    assert (
        permanent_id(FeedPaper("Other", arxiv="2405.15589", version=2))
        == "urn:uuid:4934efdc-ec5e-5f8f-bcba-33eb07e9593d"
    )
    assert permanent_id(FeedPaper("A  Title!")) == permanent_id(FeedPaper("a title"))
    assert permanent_id(FeedPaper("T", doi="10.1/AB")) == permanent_id(FeedPaper("U", doi="10.1/ab"))
    assert len({permanent_id(one.paper) for one in sample_papers()}) == 4


def test_a_file_has_an_id_without_an_address() -> None:
    assert Channel("T", "https://x.org").id == Channel("T", "https://x.org").id != Channel("U", "https://x.org").id
    assert CHANNEL.id == CHANNEL.address


def test_opml_lists_the_feeds_of_saved_searches() -> None:
    text = opml([SavedQuery("mine & yours", 'a "b" c&d'), SavedQuery("x\x0b", "y")], "https://x.org")
    root = ElementTree.fromstring(text.encode())
    first, second = root.findall("body/outline")
    assert first.get("type") == "rss"
    assert first.get("text") == "mine & yours"
    assert first.get("xmlUrl") == "https://x.org/feed.atom?q=a+%22b%22+c%26d"
    assert first.get("htmlUrl") == "https://x.org/search?q=a+%22b%22+c%26d"
    assert second.get("title") == "x"
    assert ElementTree.fromstring(opml([], "https://x.org").encode()).find("body") is not None


def test_the_date_of_a_feed_is_that_of_its_latest_paper() -> None:
    committed = [stored(uid=n, changed=datetime(2026, 1, n, tzinfo=UTC)) for n in (1, 3, 2)]
    assert render(committed, CHANNEL, "atom").modified == datetime(2026, 1, 3, tzinfo=UTC)
