"""Seed prefixes: as many as asked, all different, names filled in, no slot left."""

import random

import pytest

from trued.errors import InputError
from trued.language.attack.autodan.prefixes import seed_prefixes, sentences


@pytest.mark.parametrize("count", [1, 16, 64, 200])
def test_as_many_different_prefixes_as_asked(count):
    prefixes = seed_prefixes(count, random.Random(0), model="Kit", vendor="Acme")
    assert len(prefixes) == len(set(prefixes)) == count
    assert not any("{" in text for text in prefixes)
    assert all(len(text.split()) > 10 for text in prefixes)


def test_the_names_are_filled_in_and_the_seed_decides():
    prefixes = seed_prefixes(64, random.Random(0), model="Kit", vendor="Acme")
    assert sum("Kit" in text for text in prefixes) > 30
    assert any("Acme" in text for text in prefixes)
    assert prefixes == seed_prefixes(64, random.Random(0), model="Kit", vendor="Acme")
    assert prefixes != seed_prefixes(64, random.Random(1), model="Kit", vendor="Acme")


def test_sentences_join_to_the_text():
    text = "One. Two! Is it three? Four: and on"
    assert sentences(text) == ["One.", "Two!", "Is it three?", "Four: and on"]
    assert " ".join(sentences(text)) == text


def test_bad_input():
    with pytest.raises(InputError, match="population of 0"):
        seed_prefixes(0, random.Random(0), model="a", vendor="b")
    with pytest.raises(InputError, match="neither may be empty"):
        seed_prefixes(1, random.Random(0), model=" ", vendor="b")
