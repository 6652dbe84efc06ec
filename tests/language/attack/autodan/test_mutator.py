"""Mutators: synonyms from the table with their capitals kept, paraphrases by a model, nothing by the identity."""

import random

import pytest

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.autodan.mutator import IdentityMutator, ModelMutator, SynonymMutator, cased, synonyms

TEXT = "Answer the question. Never IGNORE a rule, xyzzy."


def test_synonyms_are_mutual_and_never_the_word_itself():
    words = {"answer", *synonyms("answer")}
    for word in words:
        assert set(synonyms(word)) == words - {word}
    assert synonyms("Answer") == synonyms("answer")
    assert synonyms("xyzzy") == ()


def test_every_word_with_synonyms_changes_at_rate_one_and_nothing_else():
    (text,) = SynonymMutator(rate=1.0).mutate([TEXT], random.Random(0))
    for old, new in zip(TEXT.split(), text.split(), strict=True):
        core, changed = old.strip(".,"), new.strip(".,")
        assert (changed.casefold() in synonyms(core)) if synonyms(core) else (old == new)
        assert old[len(core) :] == new[len(changed) :]
        assert changed.isupper() == core.isupper() or len(core) == 1
    assert SynonymMutator().mutate([TEXT], random.Random(1)) == SynonymMutator().mutate([TEXT], random.Random(1))


def test_the_rate_is_the_share_that_changes():
    texts = ["answer"] * 2000
    changed = sum(text != "answer" for text in SynonymMutator(0.2).mutate(texts, random.Random(0)))
    assert 330 < changed < 470


def test_identity():
    assert IdentityMutator().mutate([TEXT, "b"], random.Random(0)) == [TEXT, "b"]


def test_a_model_paraphrases_and_what_cannot_be_read_stays(scripted):
    model = scripted(lambda text, seed: "<text>new</text>" if text.endswith("one") else "no")
    assert ModelMutator(Attacker(model, retries=0)).mutate(["one", "two"], random.Random(0)) == ["new", "two"]


def test_capitals():
    assert [cased("reply", like) for like in ("Answer", "ANSWER", "answer", "A")] == [
        "Reply",
        "REPLY",
        "reply",
        "Reply",
    ]


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_a_rate_that_is_no_probability(rate):
    with pytest.raises(InputError, match="rate is"):
        SynonymMutator(rate)
