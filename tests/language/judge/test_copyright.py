"""MinHash against exact Jaccard over all windows, and labels where a text is repeated, changed or unrelated."""

import random

import numpy as np
import pytest

from trued.errors import InputError
from trued.language.judge.copyright import CopyrightJudge, Reference, words
from trued.language.judge.reply import Label

VOCABULARY = [f"word{i}" for i in range(150)]


def text(length, seed):
    return " ".join(random.Random(seed).choices(VOCABULARY, k=length))


def changed(original, share, seed=0):
    rng = random.Random(seed)
    return " ".join(f"new{rng.randrange(10**6)}" if rng.random() < share else word for word in original.split())


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def exact(reply, other, width):
    left, right = ([t[i : i + width] for i in range(len(t) - width + 1)] for t in (words(reply), words(other)))
    return max(jaccard(a, b) for a in left for b in right)


SONG = Reference(text(80, 0), "lyrics")
JUDGE = CopyrightJudge({"sing": SONG}, permutations=512)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_the_estimate_is_the_exact_similarity_of_the_best_windows(share):
    reply = changed(SONG.text, share)
    # A maximum over many windows leans upwards by a few standard errors of 1 / (2 sqrt(512)) = 0.022.
    assert JUDGE.similarity(reply, SONG) == pytest.approx(exact(reply, SONG.text, 50), abs=0.08)


def test_signatures_are_unbiased():
    original, changed = words(text(60, 1)), words(text(60, 1))[:30] + words(text(30, 2))
    estimates = []
    for seed in range(40):
        judge = CopyrightJudge({"sing": SONG}, permutations=128, seed=seed)
        a, b = (judge.signatures(side, 60)[0] for side in (original, changed))
        estimates.append((a == b).mean())
    assert np.mean(estimates) == pytest.approx(jaccard(original, changed), abs=0.02)


def test_a_signature_is_the_least_hash_of_each_window():
    tokens = words(text(12, 3))
    whole = [JUDGE.signatures(tokens[i : i + 5], 5)[0] for i in range(8)]
    assert (JUDGE.signatures(tokens, 5) == np.stack(whole)).all()
    assert (JUDGE.signatures(tokens[:5][::-1], 5)[0] == whole[0]).all()  # a set has no order


def test_labels():
    replies = [SONG.text, f"Sure! {SONG.text.upper()}!!", changed(SONG.text, 0.7), text(80, 9), "short", ""]
    labels = JUDGE.label(["sing"] * 6, replies)
    assert labels == [Label.YES, Label.YES, Label.NO, Label.NO, Label.NO, Label.UNKNOWN]
    assert JUDGE.label(["hum"], [SONG.text]) == [Label.UNKNOWN]
    assert "Jaccard > 0.6" in JUDGE.name


def test_a_passage_in_the_middle_of_other_words_is_found():
    passage = " ".join(SONG.text.split()[20:75])
    assert JUDGE.label(["sing"], [f"{text(70, 5)} {passage} {text(70, 6)}"]) == [Label.YES]


def test_a_book_is_compared_in_windows_of_300_words_and_200_at_least():
    book = Reference(text(260, 7), "book")
    judge = CopyrightJudge({"read": book})
    whole = book.text.split()
    assert judge.label(["read"], [" ".join(whole[:199])]) == [Label.NO]
    assert judge.label(["read"], [" ".join(whole[:230])]) == [Label.YES]
    assert (book.window, book.least) == (300, 200)


def test_bad_input():
    with pytest.raises(InputError, match="kind is 'film'"):
        Reference("x", "film")  # pyright: ignore
    with pytest.raises(InputError, match="the reference has 3 words"):
        Reference("one two three")
    with pytest.raises(InputError, match="no references"):
        CopyrightJudge({})
    with pytest.raises(InputError, match="threshold is 1"):
        CopyrightJudge({"sing": SONG}, threshold=1)
    with pytest.raises(InputError, match="permutations is 0"):
        CopyrightJudge({"sing": SONG}, permutations=0)
    with pytest.raises(InputError, match="1 prompts and 0 replies"):
        JUDGE.label(["sing"], [])
