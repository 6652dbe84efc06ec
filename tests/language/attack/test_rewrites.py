"""The grammar: the default is the plain request, a neighbour differs in one slot, no word of the request is lost."""

import random

from hypothesis import given
from hypothesis import strategies as st

from trued.language.attack.rewrites import SLOTS, Rewrite


def test_the_default_is_the_plain_request():
    assert Rewrite().render("say {prompt}") == "say {prompt}"
    assert all(text.count("{prompt}") == 1 for text in SLOTS["request"])
    assert all("{prompt}" not in text for name, texts in SLOTS.items() for text in texts if name != "request")


@given(seed=st.integers(0, 10**6), prompt=st.text(min_size=1).filter(str.strip))
def test_every_rewrite_holds_the_request_word_for_word(seed, prompt):
    assert prompt in Rewrite.random(random.Random(seed)).render(prompt)


@given(seed=st.integers(0, 10**6))
def test_a_neighbour_differs_in_exactly_one_slot(seed):
    rng = random.Random(seed)
    here = Rewrite.random(rng)
    there = here.neighbour(rng)
    assert sum(a != b for a, b in zip(here.choice, there.choice, strict=True)) == 1
    assert all(0 <= index < len(texts) for index, texts in zip(there.choice, SLOTS.values(), strict=True))
