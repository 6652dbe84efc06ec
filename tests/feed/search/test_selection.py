"""Selections: every word has to occur, the order is the one given, and a cut is a cut."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore
from trued.feed.search.query import parse
from trued.feed.search.selection import Selection, every_word
from trued.feed.store.records import Filters

PAPERS = (
    FeedPaper("Continuous Alignment", "One.", "2401.00001", published=date(2024, 1, 3), upvotes=1, rank=2),
    FeedPaper("Continuous Control", "Of alignment, two.", "2401.00002", published=date(2024, 1, 1), upvotes=9, rank=1),
    FeedPaper("Alignment", "Three.", "2401.00003", published=date(2024, 1, 2), upvotes=5, rank=3),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperStore]:
    path = tmp_path_factory.mktemp("store") / "papers.db"
    store = PaperStore(f"sqlite:///{path}", clock=lambda: datetime(2024, 1, 4, tzinfo=UTC))
    store.ingest(PAPERS)
    yield store
    store.close()


def ids(store: PaperStore, *args, **options) -> list[int]:
    return [int((one.paper.arxiv or "")[-1]) for one in Selection(*args, **options).papers(store)]


def test_every_word_has_to_occur(store: PaperStore) -> None:
    assert ids(store, "continuous alignment", order="relevance") == [1, 2]
    assert ids(store, "continuous alignment -control") == [1]
    assert ids(store, '"continuous alignment"') == [1]
    assert ids(store, "contin* alignment", order="upvotes") == [2, 3, 1]  # what ends in * only ranks
    assert sorted(ids(store, "continuous alignment", mode="keyword")) == [1, 2, 3]
    assert ids(store, "continuous nothing") == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [("new", [1, 3, 2]), ("upvotes", [2, 3, 1]), ("rank", [2, 1, 3]), ("relevance", [1, 3, 2])],
)
def test_the_order_is_the_one_asked_for_with_a_search_and_without(
    store: PaperStore, order, expected: list[int]
) -> None:
    assert ids(store, order=order) == expected
    assert ids(store, order=order, limit=2) == expected[:2]
    if order != "relevance":
        assert ids(store, "align*", order=order) == expected


def test_a_filter_holds_with_a_search_and_without(store: PaperStore) -> None:
    filters = Filters(since=date(2024, 1, 2), min_upvotes=2)
    assert ids(store, filters=filters) == [3]
    assert ids(store, "alignment", filters=filters) == [3]
    arrived = Filters(arrived_since=datetime(2024, 1, 4, tzinfo=UTC) + timedelta(seconds=1))
    assert ids(store, filters=arrived) == ids(store, "alignment", filters=arrived) == []


def test_all_of_a_long_listing_comes(tmp_path) -> None:
    store = PaperStore(f"sqlite:///{tmp_path}/papers.db")
    store.ingest([FeedPaper(f"Paper {n}", arxiv=f"2401.{n:05}") for n in range(450)])
    assert len(Selection(limit=None).papers(store)) == 450
    assert len({one.uid for one in Selection(limit=None).papers(store)}) == 450
    assert len(Selection(limit=203).papers(store)) == 203
    store.close()


@pytest.mark.parametrize(
    "q",
    ['continuous "two words" -not -"not this" author:smith -cat:cs.CL year:2024..2025 is:unread align*',
     'org:"kling team"', "", "  ", '"', "how does it work", "a:b c"],
)  # fmt: skip
def test_wanting_every_word_keeps_what_else_was_asked(q: str) -> None:
    before, after = parse(q), parse(every_word(q))
    assert after.clauses == before.clauses
    assert after.excluded == before.excluded
    wanted = {str(term) for term in (*before.phrases, *before.terms)}
    assert {str(term) for term in (*after.phrases, *after.terms)} == wanted
    assert all(term.prefix for term in after.terms)


def test_titles_and_what_a_date_is_good_for() -> None:
    assert Selection(" a b ").title == "Daily papers: a b"
    assert Selection(order="trending").title == "Daily papers, trending"
    assert Selection().grows_by_changes
    assert Selection("a", filters=Filters(has_code=True)).grows_by_changes
    for other in (
        Selection(order="trending"),
        Selection("a", mode="hybrid"),
        Selection(filters=Filters(min_upvotes=0)),
    ):
        assert not other.grows_by_changes


@settings(max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(["tag:", "-tag:", "author:", "year:", "org:", "cat:", "has:", "is:", '"', "-", "*", "²"]),
            st.sampled_from([f"tag:{'x' * 70}", "tag:ß" * 40, "author:*", "year:2..1", 'cat:"a%_b"', "AND", "NEAR("]),
        ),
        max_size=12,
    ).map(" ".join).map(lambda q: q[:400])
)  # fmt: skip
def test_no_line_of_text_raises(q):
    store = _search_store()
    for order in ("relevance", "new", "trending"):
        Selection(q, order=order, limit=5, person="a subscriber").papers(store)
    store.search(q, mode="keyword", k=5)


@cache
def _search_store():
    store = PaperStore("sqlite://")
    store.ingest([FeedPaper("Robust alignment", "An abstract of attacks.", arxiv="2411.00001")])
    return store
