"""What people leave beside papers is kept once, comes back as it was, and moves counts and trends."""

import threading

import pytest

from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import Marks, PaperStore, SavedQuery


@pytest.fixture
def filled(either):
    either.ingest([FeedPaper("One", upvotes=4, comments=1, source="page"), FeedPaper("Two", source="page")])
    return either


def test_an_upvote_counts_once_a_person_and_can_be_taken_back(filled):
    assert filled.vote("ada", 1) == 1
    assert filled.vote("ada", 1) == 1
    assert filled.vote("eve", 1) == 2
    paper = filled.get(1)
    assert (paper.votes, paper.upvotes, paper.paper.upvotes) == (2, 6, 4)
    assert filled.vote("ada", 1, on=False) == 1
    assert filled.vote("ada", 1, on=False) == 1
    assert filled.get(1).upvotes == 5
    assert filled.doctor() == []


def test_votes_and_comments_make_a_paper_trend(filled, clock):
    clock.pass_(days=3)
    assert [one.uid for one in filled.listing("trending")[0]] == [1, 2]
    filled.vote("ada", 2)
    filled.comment("ada", 2, "Good.")
    assert filled.get(2).trending == pytest.approx(1.5)
    assert [one.uid for one in filled.listing("trending")[0]] == [2, 1]
    filled.vote("ada", 2, on=False)
    assert filled.get(2).trending == pytest.approx(0.5)
    assert [one.uid for one in filled.listing("upvotes")[0]] == [1, 2]


def test_a_count_of_the_source_and_a_vote_of_the_store_add_up(filled):
    filled.vote("ada", 1)
    filled.ingest([FeedPaper("One", upvotes=9, source="page")])
    assert filled.get(1).upvotes == 10
    assert filled.doctor() == []


def test_votes_from_several_threads_are_all_counted(tmp_path):
    url = f"sqlite:///{tmp_path}/papers.db"
    PaperStore(url).ingest([FeedPaper("One", source="page")])
    stores = [PaperStore(url) for _ in range(4)]

    def vote(n):
        for i in range(5):
            stores[n].vote(f"{n}-{i}", 1)

    threads = [threading.Thread(target=vote, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].get(1).votes == 20
    assert stores[0].doctor() == []


def test_comments_come_back_in_order_and_unescaped(filled, clock):
    first = filled.comment("ada", 2, "  First <b>\r\nline\x00 ")
    clock.pass_(minutes=1)
    second = filled.comment("eve", 2, "Second")
    assert filled.comments(2) == [first, second]
    assert (first.text, first.person, first.at) == ("First <b>\nline", "ada", second.at - (second.at - first.at))
    assert filled.get(2).comments == 2
    assert filled.get(1).comments == 1


def test_marks_are_each_persons_own(filled):
    filled.bookmark("ada", 1)
    filled.bookmark("ada", 1)
    filled.mark_read("ada", 2)
    filled.tag("ada", 1, " To  Read ")
    filled.tag("ada", 1, "to read")
    filled.tag("ada", 1, "a")
    filled.note("ada", 1, "line one\nline two")
    filled.vote("eve", 1)
    assert filled.marks("ada", [1, 2]) == {
        1: Marks(False, True, False, ("a", "to read"), "line one\nline two"), 2: Marks(read=True),
    }  # fmt: skip
    assert filled.marks("eve", [1]) == {1: Marks(voted=True)}
    assert filled.tags("ada") == {"a": 1, "to read": 1}
    assert filled.note_of("ada", 1) == "line one\nline two"
    filled.note("ada", 1, "")
    filled.tag("ada", 1, "TO READ", on=False)
    filled.bookmark("ada", 1, on=False)
    filled.mark_read("ada", 2, on=False)
    assert filled.marks("ada", [1, 2]) == {1: Marks(tags=("a",)), 2: Marks()}


def test_bookmarks_are_the_latest_first(filled, clock):
    filled.bookmark("ada", 2)
    clock.pass_(minutes=1)
    filled.bookmark("ada", 1)
    assert [one.uid for one in filled.bookmarks("ada")] == [1, 2]
    assert filled.bookmarks("eve") == []


def test_saved_queries(filled):
    filled.save_query("ada", "new ones", "year:2025  attack")
    filled.save_query("ada", "a", "x")
    filled.save_query("ada", "a", "y")
    assert filled.saved_queries("ada") == [SavedQuery("a", "y"), SavedQuery("new ones", "year:2025 attack")]
    filled.save_query("ada", "a", "")
    assert len(filled.saved_queries("ada")) == 1


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda s: s.vote("ada", 9), "no paper number 9"),
        (lambda s: s.bookmark("ada", 9), "no paper number 9"),
        (lambda s: s.comments(9), "no paper number 9"),
        (lambda s: s.note("ada", 9, "x"), "no paper number 9"),
        (lambda s: s.vote(" ", 1), "person's id is empty"),
        (lambda s: s.comment("ada", 1, " \x00 "), "comment is empty"),
        (lambda s: s.comment("ada", 1, "x" * 10_001), "10,001 characters; at most 10,000"),
        (lambda s: s.tag("ada", 1, ""), "tag is empty"),
        (lambda s: s.tag("ada", 1, "x" * 65), "65 characters; at most 64"),
        (lambda s: s.note("ada", 1, "x" * 50_001), "50,001 characters"),
        (lambda s: s.save_query("ada", "", "x"), "name is empty"),
    ],
)
def test_what_cannot_be_kept_is_named(store, act, sentence):
    store.ingest([FeedPaper("One", source="page")])
    with pytest.raises(InputError, match=sentence):
        act(store)
    assert store.marks("ada", [1]) == {1: Marks()}
