"""The search field is read as documented, and no line of text is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.search.query import Clause, Term, parse, words, years


def test_every_part_is_read():
    query = parse(
        'Continuous attack "preference  optimisation" -image -"left out" author:"Jane Smith" cat:cs.CL align*'
    )
    assert query.terms == (Term(("continuous",)), Term(("attack",)), Term(("align",), prefix=True))
    assert query.phrases == (Term(("preference", "optimisation")),)
    assert query.excluded == (Term(("image",)), Term(("left", "out")))
    assert query.clauses == (Clause("author", "jane smith"), Clause("cat", "cs.cl"))
    assert query.text == "Continuous attack preference  optimisation align"
    assert query.ignored == ()


def test_fields_can_be_excluded_and_are_known_in_any_case():
    assert parse("-Tag:Mine HAS:code is:Unread").clauses == (
        Clause("tag", "mine", negated=True), Clause("has", "code"), Clause("is", "unread"),
    )  # fmt: skip


def test_a_word_with_a_hyphen_is_one_term_of_two_words():
    assert parse("C-AdvIPO").terms == (Term(("c", "advipo")),)
    assert parse("Schrödinger").terms == (Term(("schrodinger",)),)


def test_function_words_do_not_search_unless_they_are_all_there_is():
    assert parse("how to use the attacks").terms == (Term(("attacks",)),)
    assert parse("what is it").terms == (Term(("what",)), Term(("is",)), Term(("it",)))


@pytest.mark.parametrize(
    ("q", "sentence"),
    [
        ("year:soon", "year:soon is no year"),
        ("year:2025..2024", "year:2025..2024 is no year"),
        ("has:video", "has:code finds"),
        ("is:done", "is:unread, is:read, is:bookmarked"),
        ('author:""', "author: stands without a value"),
        ("author:...", "has no name"),
        ("a " * 600, "1,200 characters"),
        (" ".join(f"w{i}" for i in range(40)), "40 words"),
    ],
)
def test_what_is_not_understood_is_said(q, sentence):
    assert any(sentence in said for said in parse(q).ignored)
    assert not parse(q).clauses


def test_an_unknown_field_is_words():
    query = parse("vllm:fast https://arxiv.org/abs/2405.15589")
    assert query.terms[0] == Term(("vllm", "fast"))
    assert query.ignored == ()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2024", (2024, 2024)), ("2024..2025", (2024, 2025)), ("2024..", (2024, 2999)), ("..2025", (1900, 2025)),
        ("..", None), ("", None), ("20242025", None), ("24", None), ("1800", None),
    ],
)  # fmt: skip
def test_years(value, found):
    assert years(value) == found


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from('"*:-()^{}ANDORNEAR '))))
def test_no_text_is_an_error_and_terms_hold_letters_and_digits_only(q):
    query = parse(q)
    for term in (*query.terms, *query.phrases, *query.excluded):
        assert term.words
        assert all(word.isalnum() for word in term.words)
        assert list(term.words) == words(" ".join(term.words))
