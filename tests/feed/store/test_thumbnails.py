"""A picture a paper, on both databases: replaced when another is named, and gone with its paper."""

from datetime import date

from sqlalchemy import text

from trued.feed.paper import FeedPaper

HERE, THERE = "https://huggingface.co/a.png", "https://huggingface.co/b.png"


def test_a_picture_stays_until_its_paper_names_another(either):
    paper = FeedPaper("A Paper", arxiv="2512.00001", thumbnail=HERE, source="huggingface")
    either.ingest([paper, FeedPaper("Another", published=date(2025, 1, 1), thumbnail=THERE, source="huggingface")])
    assert either.get(1).paper.thumbnail == HERE
    assert either.lacking_thumbnails([HERE, THERE, HERE]) == {1: HERE, 2: THERE}
    assert either.lacking_thumbnails([]) == {}
    either.set_thumbnail(1, HERE, b"picture")
    assert either.lacking_thumbnails([HERE, THERE]) == {2: THERE}
    (digest,) = either.thumbnail_digests([1, 2]).values()
    either.ingest([FeedPaper("A Paper", arxiv="2512.00001", thumbnail=THERE, source="huggingface")])
    assert either.lacking_thumbnails([HERE, THERE]) == {2: THERE, 1: THERE}
    assert either.thumbnail(1) == b"picture", "until there is the new one"
    either.set_thumbnail(1, THERE, b"other")
    assert either.thumbnail(1) == b"other"
    assert either.thumbnail_digests([1]) not in ({}, {1: digest})
    either.set_thumbnail(1, THERE, None)
    assert either.thumbnail(1) is None
    assert either.thumbnail_digests([1, 2]) == {}


def test_a_picture_goes_with_its_paper(either):
    either.ingest([FeedPaper("A Paper", thumbnail=HERE, source="huggingface")])
    either.set_thumbnail(1, HERE, b"picture")
    with either.writing() as session:
        session.execute(text("DELETE FROM papers"))
    assert either.thumbnail(1) is None


def test_an_address_that_is_none_of_the_web_is_dropped(store):
    store.ingest([FeedPaper("A Paper", thumbnail="javascript:alert(1)", source="huggingface")])
    assert store.get(1).paper.thumbnail is None
