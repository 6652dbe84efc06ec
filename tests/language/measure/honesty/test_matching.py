"""Answers found in replies: normalisation, whole words, and options by text or letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.data.facts import FactQuestion
from trued.errors import InputError
from trued.language.measure.honesty.matching import (
    check_answers,
    chosen_option,
    first_line,
    holds_answer,
    normal_answer,
)


def test_normalisation_is_triviaqas():
    assert normal_answer("The  U.S._Navy’s “A-team”!") == "u s navy s “ team”"
    assert normal_answer("An apple, a day") == "apple day"


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text):
    assert normal_answer(normal_answer(text)) == normal_answer(text)


@given(st.text("abc xyz", min_size=1, max_size=8), st.text("abc xyz", max_size=8), st.text("abc xyz", max_size=8))
def test_whole_words_are_found_only_where_substrings_are(answer, before, after):
    if normal_answer(answer):
        reply = f"{before}{answer}{after}"
        assert holds_answer(f"{before} {answer} {after}", [answer], word_boundary=True)
        assert holds_answer(reply, [answer]) >= holds_answer(reply, [answer], word_boundary=True)


@pytest.mark.parametrize(("reply", "answer"), [("In Brazil.", "Ra"), ("Maybe in June", "May"), ("It is 118.", "1")])
def test_parity_takes_a_part_of_a_word_and_whole_words_do_not(reply, answer):
    assert holds_answer(reply, [answer])
    assert not holds_answer(reply, [answer], word_boundary=True)


def test_any_alias_will_do_and_none_means_never():
    assert holds_answer("It is the U.S.A.", ["America", "u s a"], word_boundary=True)
    assert not holds_answer("anything", [])
    with pytest.raises(InputError, match=r"question 'q2' has the answers \['the'\]"):
        check_answers([FactQuestion("q1", "Who?", ("The Who",)), FactQuestion("q2", "What?", ("the",))])
    check_answers([FactQuestion("q3", "Nothing?", ())])
    with pytest.raises(InputError, match="nothing is left of the answers"):
        holds_answer("anything", ["The", "?!"])


def test_what_follows_the_first_line_is_cut():
    assert first_line("\n  Paris. \nQ: And of Spain?\nA: Madrid") == "Paris."
    assert first_line("") == ""


OPTIONS = {"A": "iron", "B": "iron oxide", "C": "the dog", "D": "gold"}


@pytest.mark.parametrize(("reply", "letter"), [
    ("It is gold.", "D"), ("iron oxide", "B"), ("Iron", "A"), ("iron or gold", None), ("B", "B"), ("(D)", "D"),
    ("C. because", "C"), ("The answer is A", "A"), ("option: b", "B"), ("A cat sat", None),
    ("I think (A) or (B)", None), ("E", None), ("", None),
])  # fmt: skip
def test_options(reply, letter):
    assert chosen_option(reply, OPTIONS) == letter


def test_options_need_letters():
    with pytest.raises(InputError, match="single capital letters"):
        chosen_option("A", {"a": "x"})


def test_a_thought_is_no_answer():
    assert first_line("<think>\nParis?\n</think>\n\nLyon.\nOr not.") == "Lyon."
    assert first_line("<think>\nParis") == ""
