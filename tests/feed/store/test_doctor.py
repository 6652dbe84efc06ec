"""A sound store has no finding; each thing that can go wrong is found, and named with what mends it."""

import pytest
from sqlalchemy import text

from trued.feed.paper import FeedPaper

PAPERS = [FeedPaper("First", "Text one.", upvotes=3, source="page"), FeedPaper("Second", "Text two.", source="page")]


@pytest.fixture
def filled(either):
    either.ingest(PAPERS)
    either.vote("ada", 1)
    either.comment("ada", 2, "Hello.")
    return either


def test_a_sound_store_has_no_finding(filled):
    assert filled.doctor() == []


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("UPDATE papers SET title_key = 'x' WHERE uid = 2", "paper 2 is under a title key of another version"),
        ("UPDATE papers SET shown = '2199-01-01'", "2 papers (1, 2) are dated to come"),
        ("UPDATE papers SET votes = 7 WHERE uid = 1", "paper 1 is with a count of votes"),
        ("DELETE FROM comments", "paper 2 is with a count of remarks"),
        ("UPDATE papers SET popularity = 99 WHERE uid = 1", "paper 1 is with counts that no snapshot has"),
        ("UPDATE papers SET heat = 1 WHERE uid = 1", "paper 1 is with a trending score"),
        ("UPDATE papers SET heat = NULL", "2 papers (1, 2) are with a trending score"),
    ],
)
def test_what_is_wrong_is_found(filled, harm, finding):
    with filled.engine.begin() as connection:
        connection.execute(text(harm))
    assert any(found.startswith(finding) for found in filled.doctor()), filled.doctor()


def test_an_index_that_lags_behind_is_found_and_mended_as_said(store):
    store.ingest(PAPERS)
    with store.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER papers_changed"))
        connection.execute(text("UPDATE papers SET abstract = 'something else entirely' WHERE uid = 1"))
    found = store.doctor()
    assert len(found) == 1
    assert "full-text index does not agree" in found[0]
    with store.engine.begin() as connection:
        connection.execute(text(found[0].partition("rebuild it with ")[2]))
    assert store.doctor() == []
    assert [hit.paper.uid for hit in store.search("entirely", mode="keyword")] == [1]


def test_rows_without_their_paper_are_found(store):
    store.ingest(PAPERS)
    store.bookmark("ada", 1)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("DELETE FROM papers WHERE uid = 1")
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.exec_driver_sql("BEGIN")
    assert any("belong to papers that are gone" in found for found in store.doctor())
