"""Hugging Face's JSON: both objects of an item, zeros that stay zeros, unknown keys kept, nothing changed."""

from __future__ import annotations

import copy
import json
from datetime import date
from typing import Any

import pytest

from trued.errors import InputError
from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.sources.daily_json import parse_daily_json, parse_item

ITEM: dict[str, Any] = {
    "paper": {
        "id": "2512.01234",
        "title": "Straight Wheels\n  by Small Turns",
        "summary": "We turn\none spoke. Code: https://github.com/wheels/true.",
        "authors": [
            {"_id": "1", "name": "Ada Spoke", "hidden": False, "user": {"user": "ada"}},
            {"name": "Bo Rim", "hidden": True},
        ],
        "publishedAt": "2025-12-01T23:30:00.000Z",
        "submittedOnDailyAt": "2025-12-02T01:00:00.000Z",
        "submittedOnDailyBy": {"user": "ada", "fullname": "Ada"},
        "upvotes": 0,
        "discussionId": "abc",
        "ai_keywords": ["wheels", "spokes"],
        "githubRepo": "https://github.com/wheels/true",
        "githubStars": 12,
        "projectPage": "https://wheels.example.org/",
        "organization": {"name": "wheels", "fullname": "The Wheel Works"},
    },
    "title": "Straight Wheels\n  by Small Turns",
    "publishedAt": "2025-12-01T23:30:00.000Z",
    "numComments": 3,
    "submittedBy": {"name": "bo", "fullname": "Bo"},
    "thumbnail": "https://cdn.example.org/x.png",
    "isAuthorParticipating": False,
}


def changed(**inner: Any) -> dict[str, Any]:
    item = copy.deepcopy(ITEM)
    item["paper"] |= inner
    return item


def test_an_item_is_read_from_both_objects() -> None:
    paper = parse_item(ITEM, rank=1)

    assert paper.title == "Straight Wheels by Small Turns"
    assert paper.abstract == "We turn one spoke. Code: https://github.com/wheels/true."
    assert (paper.arxiv, paper.version, paper.published, paper.date_inferred) == (
        "2512.01234", None, date(2025, 12, 1), False,
    )  # fmt: skip
    assert paper.authors == (Author("Ada Spoke"), Author("Bo Rim", hidden=True))
    assert (paper.upvotes, paper.comments, paper.organization, paper.submitted_by) == (0, 3, "The Wheel Works", "bo")
    assert [(one.url, one.kind) for one in paper.links] == [
        ("https://github.com/wheels/true", "code"),
        ("https://wheels.example.org/", "project"),
    ]
    assert (paper.source, paper.rank) == ("huggingface", 1)
    assert paper.thumbnail == "https://cdn.example.org/x.png"


@pytest.mark.parametrize(
    ("media", "thumbnail", "expected"),
    [
        (["https://a.org/film.mp4", "https://a.org/figure.PNG?x=1"], "https://a.org/x", "https://a.org/figure.PNG?x=1"),
        (["https://a.org/film.mp4"], "https://a.org/x", "https://a.org/x"),
        (None, "https://a.org/x", "https://a.org/x"),
        ("https://a.org/y.png", {"url": "https://a.org/x"}, None),
        ([None, 7], None, None),
        (["javascript:x.png"], None, None),
    ],
)
def test_a_figure_of_the_submitter_goes_before_the_picture_that_the_source_made(
    media: Any, thumbnail: Any, expected: str | None
) -> None:
    assert parse_item(changed(mediaUrls=media) | {"thumbnail": thumbnail}).thumbnail == expected


def test_unknown_keys_are_kept_and_nothing_given_is_changed() -> None:
    given = copy.deepcopy(ITEM)
    paper = parse_item(given)
    assert given == ITEM
    assert paper.extra == {
        "submittedOnDailyAt": "2025-12-02T01:00:00.000Z",
        "discussionId": "abc",
        "ai_keywords": ["wheels", "spokes"],
        "githubStars": 12,
        "isAuthorParticipating": False,
    }

    given["paper"]["ai_keywords"].append("later")
    assert paper.extra["ai_keywords"] == ["wheels", "spokes"]


def test_what_is_missing_stays_missing() -> None:
    paper = parse_item({"title": "Bare", "upvotes": None, "numComments": "3", "authors": None, "summary": None})

    assert (paper.upvotes, paper.comments, paper.authors, paper.abstract, paper.published, paper.rank) == (
        None, None, (), "", None, None,
    )  # fmt: skip


def test_the_outer_object_counts_before_the_inner_unless_it_says_nothing() -> None:
    assert parse_item(changed(title="Inner") | {"title": "Outer"}).title == "Outer"
    assert parse_item(changed(title="Inner") | {"title": None}).title == "Inner"
    assert parse_item(changed(upvotes=7) | {"upvotes": 0}).upvotes == 0


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2025-12-01T23:30:00.000Z", date(2025, 12, 1)),
        ("2025-12-01T23:30:00-05:00", date(2025, 12, 2)),
        ("2025-12-01", date(2025, 12, 1)),
        ("yesterday", None),
        ("", None),
        (1733000000, None),
    ],
)
def test_days_are_those_of_utc(moment: Any, day: date | None) -> None:
    assert parse_item({"title": "T", "publishedAt": moment}).published == day


def test_flat_items_of_a_search_and_one_paper_are_read_as_well() -> None:
    flat = {"id": "hep-th/9901001v2", "title": "T", "authors": ["A B", {"name": ""}, 3], "organization": "Wheels"}
    paper = parse_daily_json(flat).papers[0]
    assert (paper.arxiv, paper.version, paper.organization) == ("hep-th/9901001", 2, "Wheels")
    assert (paper.authors, paper.rank) == ((Author("A B"),), None)

    assert parse_item({"id": "67a1", "title": "T"}).extra == {"id": "67a1"}


def test_what_is_exported_is_read_back() -> None:
    from trued.feed.export.jsonl import item
    from trued.feed.store.records import StoredPaper, utc_now

    paper = FeedPaper(
        title="Straight Wheels",
        abstract="We turn one spoke.",
        arxiv="2512.01234",
        published=date(2025, 12, 1),
        authors=(Author("Ada Spoke"),),
        authors_count=12,
        organization="Wheels",
        upvotes=0,
        comments=3,
        categories=("cs.LG",),
        links=(Link("https://github.com/wheels/true", "code"),),
        doi="10.1000/wheels.3",
        journal="J. Wheels",
        source="huggingface",
    )

    told = json.loads(json.dumps(item(StoredPaper(1, paper, "wheels", utc_now(), utc_now(), 0.0))))

    assert parse_item(told) == paper


def test_links_lead_to_the_web_only() -> None:
    item = changed(githubRepo="javascript:alert(1)", projectPage="//x", summary="")

    assert parse_item(item).links == ()


def test_a_spoilt_entry_is_refused_and_the_others_are_not() -> None:
    read = parse_daily_json([ITEM, {"id": "2512.00001"}, "text", None, {"title": "  "}, {"title": "Last"}])

    assert [(paper.title, paper.rank) for paper in read.papers] == [("Straight Wheels by Small Turns", 1), ("Last", 6)]
    assert [(one.where, one.why) for one in read.refused] == [
        ("entry 2", "it has no title"),
        ("entry 3", "a paper is a JSON object with at least a title, and this is a str"),
        ("entry 4", "a paper is a JSON object with at least a title, and this is a NoneType"),
        ("entry 5", "it has no title"),
    ]


def test_a_reading_knows_the_day_of_each_paper() -> None:
    later = changed(id="2512.05678", submittedOnDailyAt="2025-12-04T00:00:00Z")
    read = parse_daily_json([later, ITEM, {"title": "Of no day"}])

    assert [(day, [p.title for p in papers]) for day, papers in read.by_day()] == [
        (date(2025, 12, 2), ["Straight Wheels by Small Turns"]),
        (date(2025, 12, 4), ["Straight Wheels by Small Turns"]),
        (None, ["Of no day"]),
    ]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("[{", "this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        ("3", "the JSON is a int; expected a list of papers"),
        (json.dumps({"error": "Invalid date"}), "the answer is an error, 'Invalid date'"),
    ],
)
def test_other_json_is_told(told: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_daily_json(told)
