"""Two entries are one paper when they should be; each field is whose it should be; nothing known is lost."""

from dataclasses import fields, replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.store.merge import clean, flaw, merge, same, title_key

TODAY = date(2025, 12, 10)
ARXIV = FeedPaper(
    "MixAT: Both", "The authors' abstract.", "2505.16947", version=2, published=date(2025, 5, 22), source="arxiv",
    authors=(Author("Ada Lovelace"), Author("Émile Borel")), categories=("cs.LG", "cs.CL"),
    links=(Link("https://github.com/a/b", "code"),), extra={"comment": "12 pages"},
)  # fmt: skip
PAGE = FeedPaper(
    "MixAT:  both", "An abstract as the page has it", published=date(2024, 5, 22), date_inferred=True, source="page",
    authors_count=2, comments=3, rank=7, links=(Link("https://mixat.example", "project"),),
    extra={"byline": "2 authors"},
)  # fmt: skip
HUGGING = FeedPaper(
    "MixAT: Both", "Copied abstract.", "2505.16947", source="huggingface", upvotes=0, organization="ETH"
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LLM-based Text-To-Speech", "LLM based text to speech"),
        ("Schrödinger's “Cat”", "Schrodinger's cat"),
        (r"$\alpha$-GAN: 20\% {B}etter", "-GAN: 20% better"),
        ("  A\u00a0B  ", "a b"),
    ],
)
def test_titles_are_the_same_without_case_punctuation_and_tex(one, other):
    assert title_key(one) == title_key(other)


def test_titles_that_differ_by_a_word_are_not_the_same():
    assert title_key("Visual Generation Tuning") != title_key("Visual Generation Tuning 2")
    assert title_key("对齐方法") == "对齐方法"
    assert title_key("?!") == ""


def test_the_id_decides_where_both_have_one_else_the_title():
    assert same(ARXIV, PAGE)
    assert same(ARXIV, replace(ARXIV, title="Renamed in version 3"))
    assert not same(ARXIV, replace(ARXIV, arxiv="2505.00001"))


def test_each_field_comes_from_who_knows_it_best():
    merged, origin = merge(PAGE, ARXIV)
    merged, origin = merge(merged, HUGGING, origin)
    assert merged.abstract == "The authors' abstract."
    assert merged.published == date(2025, 5, 22)
    assert not merged.date_inferred
    assert merged.authors == ARXIV.authors
    assert (merged.authors_count, merged.comments, merged.rank, merged.organization) == (2, 3, 7, "ETH")
    assert merged.upvotes == 0  # known to be none, which is not the same as unknown
    assert {link.url for link in merged.links} == {"https://github.com/a/b", "https://mixat.example"}
    assert merged.extra == {"byline": "2 authors", "comment": "12 pages"}
    assert (merged.source, merged.version) == ("arxiv", 2)
    assert (origin["abstract"], origin["comments"], origin["upvotes"]) == ("arxiv", "page", "huggingface")


def test_an_older_version_does_not_take_back_a_newer_one():
    older = replace(ARXIV, version=1, title="MixAT: Early Title", abstract="Early.")
    assert merge(ARXIV, older)[0].title == "MixAT: Both"
    newer = replace(ARXIV, version=3, title="MixAT: Final")
    assert merge(ARXIV, newer)[0].title == "MixAT: Final"
    assert merge(ARXIV, newer)[0].version == 3


def test_the_same_source_replaces_its_older_word():
    assert merge(HUGGING, replace(HUGGING, upvotes=12))[0].upvotes == 12
    assert merge(replace(HUGGING, upvotes=12), replace(HUGGING, upvotes=None))[0].upvotes == 12


SOURCES = ("arxiv", "huggingface", "bibtex", "page", "submitted")
LINK = st.sampled_from([Link("https://a.b", "other"), Link("https://a.b", "code"), Link("https://c.d", "hub")])
entry = st.builds(
    FeedPaper,
    st.just("A Title"),
    st.sampled_from(["", "one", "two"]),
    st.sampled_from([None, "2505.16947"]),
    published=st.sampled_from([None, date(2025, 5, 22), date(2025, 5, 23)]),
    authors=st.sampled_from([(), (Author("A"),), (Author("B"), Author("C"))]),
    upvotes=st.sampled_from([None, 0, 5]),
    categories=st.sampled_from([(), ("cs.LG",), ("cs.CL", "cs.LG")]),
    links=st.lists(LINK, max_size=2, unique_by=lambda link: link.url).map(tuple),
    extra=st.sampled_from([{}, {"a": 1}, {"a": 2, "b": 3}]),
)  # fmt: skip


@given(entry, entry, st.permutations(SOURCES))
def test_what_two_sources_say_gives_one_paper_in_either_order(one, other, sources):
    one, other = replace(one, source=sources[0]), replace(other, source=sources[1])
    assert merge(one, other) == merge(other, one)


@given(entry, entry, st.sampled_from(SOURCES), st.sampled_from(SOURCES))
def test_nothing_known_is_lost_and_twice_is_once(one, other, first, second):
    one, other = replace(one, source=first), replace(other, source=second)
    merged, origin = merge(one, other)
    for name in (field.name for field in fields(FeedPaper)):
        if name in ("arxiv", "doi") and first == "submitted" != second:
            continue  # which paper it is, the fetched one alone says
        if getattr(one, name) not in (None, "", (), {}):
            assert getattr(merged, name) not in (None, "", (), {}), name
    assert merge(merged, other, origin) == (merged, origin)


def test_text_is_cleaned_of_what_a_database_or_xml_refuses():
    dirty = FeedPaper(
        "A\r\n title\x00 of\u00a0two  lines", "one\ntwo\ud800", authors=(Author(" A\tB "), Author("\x07")),
        links=(Link("javascript:alert(1)", "other"), Link("https://a.b/c", "code"), Link("http://[", "other")),
        extra={"n\x00": [float("nan"), "x\x01", {"y": date(2025, 1, 2)}]},
    )  # fmt: skip
    paper = clean(dirty)
    assert paper.title == "A title of two lines"
    assert paper.abstract == "one two"
    assert paper.authors == (Author("A B"),)
    assert paper.links == (Link("https://a.b/c", "code"),)
    assert paper.extra == {"n ": ["nan", "x ", {"y": "2025-01-02"}]}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"title": "…"}, "no letter and no digit"),
        ({"title": "a" * 1001}, "1,001 characters"),
        ({"abstract": "a" * 50_001}, "50,001 characters"),
        ({"arxiv": "2405.15589v2"}, "without a version"),
        ({"published": date(2026, 1, 1)}, "2026-01-01 is not between"),
        ({"published": date(1, 1, 1)}, "0001-01-01 is not between"),
        ({"upvotes": -1}, "upvotes is -1"),
        ({"comments": 2**31}, "comments is"),
        ({"authors": (Author("A"),) * 5001}, "5,001 authors"),
    ],
)
def test_what_cannot_come_in_is_said_with_the_value(told, why):
    found = flaw(clean(replace(ARXIV, **told)), TODAY)
    assert found is not None
    assert why in found


def test_sound_entries_have_no_flaw():
    for paper in (
        ARXIV,
        PAGE,
        HUGGING,
        replace(ARXIV, arxiv="hep-th/9901001"),
        replace(ARXIV, arxiv="math.GT/0309136"),
    ):
        assert flaw(clean(paper), TODAY) is None


SUBMITTED = FeedPaper(
    "MixAT: Both", "Rewritten.", "2505.16947", version=9, published=date(2019, 1, 1), source="submitted",
    authors=(Author("Eve"),), journal="Journal of Eve", doi="10.1000/eve",
)  # fmt: skip


@pytest.mark.parametrize("known", [ARXIV, PAGE, HUGGING, replace(PAGE, source="web"), replace(PAGE, source="card")])
def test_what_a_person_submits_never_overrules_a_fetch(known):
    merged, origin = merge(known, SUBMITTED)
    for name in ("title", "abstract", "arxiv", "published", "authors", "doi"):
        if getattr(known, name) or name in ("arxiv", "doi"):
            assert getattr(merged, name) == getattr(known, name), name
    assert merged.journal == "Journal of Eve"  # a gap is filled
    assert merged.source == known.source
    again, _ = merge(merged, replace(known, journal="The Right One"), origin)
    assert again.journal == "The Right One"


@pytest.mark.parametrize("known", [ARXIV, PAGE, HUGGING])
def test_a_fetch_overrules_what_a_person_submitted(known):
    merged, _ = merge(replace(SUBMITTED, version=None), known)
    for name in ("title", "abstract", "published", "authors"):
        if getattr(known, name):
            assert getattr(merged, name) == getattr(known, name), name
    assert merged.source == known.source
