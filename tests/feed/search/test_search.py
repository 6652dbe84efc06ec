"""Searching by words, by meaning and by both finds what it should, on both databases, and no query breaks it."""

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trued.errors import InputError
from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.paper_store import Filters, PaperStore
from trued.feed.search import fulltext, search
from trued.feed.search.embeddings import PROBE

SHELF = [
    FeedPaper(
        "Continuous attacks on language models", "We attack embeddings of a chat model.", "2501.00001",
        published=date(2024, 5, 1), authors=(Author("Sophie Müller"), Author("Jane Smith")), organization="Kling Team",
        categories=("cs.CL", "cs.LG"), links=(Link("https://github.com/a/b", "code"),), source="arxiv",
    ),
    FeedPaper("A car on the road", "Driving cars in a simulator of roads.", published=date(2025, 3, 1), source="page"),
    FeedPaper(
        "Sleeping felines", "The cat sleeps. C-AdvIPO is mentioned, and 对齐方法研究 as well.",
        published=date(2025, 8, 1), categories=("q-bio.NC",), source="page",
    ),
    FeedPaper("Attention in vision", "Images; attacks are mentioned once.", published=date(2023, 1, 1), source="page"),
]  # fmt: skip


@pytest.fixture
def filled(either):
    either.ingest(SHELF)
    return either


def found(store, q, mode="keyword", **options):
    return [hit.paper.uid for hit in store.search(q, mode=mode, **options)]


@pytest.mark.parametrize(
    ("q", "uids"),
    [
        ("attacks", [1, 4]),  # in the title before in the abstract
        ("attacking", [1, 4]),  # by their stem
        ("embeddings attacks", [1, 4]),
        ('"attack embeddings"', [1]),
        ('"embeddings attack"', []),
        ("attack -vision", [1]),
        ('attack -"once"', [1]),
        ("C-AdvIPO", [3]),
        ("c advipo", [3]),
        ("simul*", [2]),
        ("drivin*", [2]),  # longer than the stem that the index holds
        ("author:muller", [1]),
        ('author:"jane smith"', [1]),
        ('author:"smith jane"', []),
        ("author:mul*", [1]),
        ("org:kling", [1]),
        ("-org:kling attack", [4]),
        ("cat:cs.CL", [1]),
        ("cat:cs", [1]),
        ("cat:q-bio", [3]),
        ("year:2025", [3, 2]),
        ("year:2024..2025 -cat", [2, 1]),
        ("year:..2023", [4]),
        ("has:code", [1]),
        ("-has:code attack", [4]),
        ("tag:mine", [2]),
        ("-tag:mine year:2025", [3]),
        ("is:read", [3]),
        ("is:unread year:2025", [2]),
        ("is:bookmarked", [4]),
        ("对齐", [3]),
        ('"对齐方法" cat', [3]),
        ("nowhere", []),
        ("", [3, 2, 1, 4]),
    ],
)
def test_what_is_asked_for_is_found_in_order(filled, q, uids):
    filled.tag("owner", 2, "mine")
    filled.tag("other", 1, "mine")
    filled.mark_read("owner", 3)
    filled.bookmark("owner", 4)
    assert found(filled, q) == uids


@pytest.mark.parametrize(
    "q", ["a AND", "NEAR(a b, 2)", "title:x", "* ** -*", '"', '"unbalanced', "^a", "a:b:c", "(((", "' OR 1=1 --",
          "%_\\", "\x00", "&|!<->"],
)  # fmt: skip
def test_syntax_of_the_index_is_plain_text(filled, q):
    everything = {item.uid for item in filled.listing()[0]}
    for said in (q, f'author:"{q}" org:{q} cat:{q} -{q}'):
        assert {hit.paper.uid for hit in filled.search(said, mode="keyword")} <= everything
    assert {item.uid for item in filled.listing()[0]} == everything
    assert filled.doctor() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("\"*:-()^{}&|!<>' ANDORNEAR"))))
def test_no_query_raises(filled, q):
    filled.search(q, mode="keyword")


def test_wildcards_of_like_are_letters(filled):
    assert found(filled, "org:%") == []
    assert found(filled, "org:_ling") == []


def test_deleting_and_changing_papers_is_followed_by_the_index(filled):
    filled.ingest([FeedPaper(SHELF[1].title, "Now about zeppelins.", source="arxiv")])
    assert found(filled, "zeppelin") == [2]
    assert found(filled, "simulator") == []
    assert filled.doctor() == []


def test_meaning_finds_what_words_do_not(filled, embedder):
    filled.embed = embedder
    assert found(filled, "vehicle") == []
    hits = filled.search("vehicle")
    assert hits[0].paper.uid == 2
    assert (hits[0].keyword_rank, hits[0].semantic_rank) == (None, 1)
    assert found(filled, "vehicle", mode="semantic")[0] == 2
    assert filled.semantics == "embeddings"


def test_without_an_embedder_meaning_is_tf_idf(store):
    store.ingest(SHELF)
    assert store.semantics == "TF-IDF"
    assert found(store, "cat sleeps", mode="semantic") == [3]
    assert found(store, "vehicle", mode="hybrid") == []


def test_requirements_hold_for_meaning_too(filled, embedder):
    filled.embed = embedder
    assert found(filled, "vehicle year:2023", mode="hybrid") == [4]
    assert 2 not in found(filled, "vehicle -car", mode="hybrid")
    assert 2 not in found(filled, "vehicle", mode="semantic", filters=Filters(until=date(2024, 12, 31)))


def test_explain_gives_the_rank_that_the_mode_leaves_out(filled, embedder):
    filled.embed = embedder
    plain, explained = (filled.search("car", mode="keyword", explain=explain)[0] for explain in (False, True))
    assert (plain.keyword_rank, plain.semantic_rank) == (1, None)
    assert (explained.keyword_rank, explained.semantic_rank) == (1, 1)
    assert plain.score == explained.score == 1


def test_hits_carry_a_marked_and_escaped_snippet(store):
    store.ingest([FeedPaper("Title", "An <i>attack</i> & more.", source="page")])
    assert (
        store.search("attack", mode="keyword")[0].snippet_html
        == "An &lt;i&gt;<mark>attack</mark>&lt;/i&gt; &amp; more."
    )


def test_ties_are_broken_by_date(store):
    store.ingest(
        [
            FeedPaper(f"Same words {c}", published=date(2025, 1, day), source="page")
            for c, day in zip("xyz", (2, 3, 1), strict=True)
        ]
    )
    assert found(store, "same words") == [2, 1, 3]


def test_bad_arguments_are_named(store):
    with pytest.raises(InputError, match="did you mean hybrid"):
        store.search("x", mode="hybird")
    with pytest.raises(InputError, match="k is 0"):
        store.search("x", k=0)


def test_similar_papers(filled, embedder):
    filled.embed = embedder
    filled.ingest(
        [FeedPaper("An automobile and a road", "Vehicle after vehicle.", published=date(2024, 1, 1), source="page")]
    )
    hits = filled.similar(2, k=2)
    assert hits[0].paper.uid == 5
    assert 2 not in [hit.paper.uid for hit in hits]
    assert -1 <= hits[1].score <= hits[0].score <= 1
    filled.vote("owner", hits[1].paper.uid)
    assert filled.similar(2, k=2, order="trending")[0].paper.uid == hits[1].paper.uid
    assert [hit.paper.shown for hit in filled.similar(2, 3, "new")] == sorted(
        (hit.paper.shown for hit in filled.similar(2, 3)), reverse=True
    )
    with pytest.raises(InputError, match="no paper number 77"):
        filled.similar(77)
    with pytest.raises(InputError, match="similarity, new or trending"):
        filled.similar(2, order="old")


def test_only_new_and_changed_texts_are_embedded(tmp_path, embedder):
    url = f"sqlite:///{tmp_path}/papers.db"
    store = PaperStore(url, embed=embedder)
    store.ingest(SHELF)
    assert store.unindexed() == 4
    done = []
    assert store.index(progress=lambda *state: done.append(state)) == 4
    assert done == [(4, 4)]
    assert store.index() == 0
    store.ingest([FeedPaper(SHELF[0].title, arxiv="2501.00001", source="huggingface", upvotes=3)])  # no new text
    assert store.index() == 0
    store.ingest([FeedPaper(SHELF[1].title, "Other text.", source="arxiv"), FeedPaper("A fifth", source="page")])
    assert store.unindexed() == 2
    assert store.index() == 2
    assert [text for text in embedder.texts if text != PROBE][-2:] == ["A car on the road. Other text.", "A fifth"]
    again = PaperStore(url, embed=embedder)
    assert again.unindexed() == 0
    assert "vector" not in " ".join(again.doctor())


def test_a_search_catches_up_with_a_few_new_papers_but_not_with_many(store, embedder, monkeypatch):
    store.embed = embedder
    monkeypatch.setitem(search.CATCH_UP, "embeddings", 4)
    store.ingest(SHELF)
    assert found(store, "vehicle", mode="semantic")[0] == 2
    store.ingest([FeedPaper(f"More {n}", source="page") for n in range(5)])
    assert len(found(store, "vehicle", mode="semantic")) == 4
    assert store.doctor() == ["5 papers have no vector of their present text: `trued papers index` makes them"]


@pytest.fixture
def crowded(either, monkeypatch):
    """A store in which a search may score few papers: 60, all on models, 30 on images, two on zebras."""
    monkeypatch.setattr(fulltext, "BUDGET", 10)
    either.ingest([
        FeedPaper(f"Models {n}", "images " * (n % 2) + "zebra " * (n in (7, 8)) + "tail " * n, source="page")
        for n in range(60)
    ])  # fmt: skip
    return either


def test_in_a_large_store_rare_words_find_and_common_ones_rank(crowded):
    assert found(crowded, "zebra images models") == [8, 9]  # numbers count from 1: n = 7 has images, too
    assert found(crowded, "zebra images")[0] == 8


def test_where_all_words_are_common_the_newest_are_scored(crowded):
    assert set(found(crowded, "models", k=100)) == set(range(51, 61))
    both = found(crowded, "images models", k=100)
    assert set(both[:10]) == {42, 44, 46, 48, 50, 52, 54, 56, 58, 60}
    assert len(found(crowded, "models", filters=Filters(min_upvotes=0), k=100)) == 60  # a filter must not lose any


def test_a_paper_without_the_common_words_is_not_lost(crowded):
    crowded.ingest([FeedPaper("Zebra, quagga and zebra", "Of zebras.", source="page")])
    assert found(crowded, "zebra quagga images models", k=100)[0] == 61
