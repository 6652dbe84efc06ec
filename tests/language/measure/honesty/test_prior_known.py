"""Questions that a model wrote itself: what is read, what is dropped, and that the verifier has the last word."""

import pytest
import torch

from trued.errors import InputError
from trued.language.measure.honesty.prior_known import SEED_PAIRS, TOPICS, prior_known_qa, read_pairs

WRITTEN = """Q: What colour is the sky?
A: Blue

Q: What colour is the clear sky?
A: Blue

Q: How many legs has a cat?
A: It has a number of legs which is four

Q: How many legs has a dog?
A: Five

Q: no question
A: No"""


class Writer:
    def __init__(self, *texts):
        self.texts, self.prompts = list(texts), []

    def generate(self, prompts, **options):
        assert options["generator"] is not None
        self.prompts += prompts
        return [[self.texts.pop(0) if self.texts else ""] for _ in prompts]


def test_there_are_as_many_topics_and_examples_as_in_the_paper():
    assert len(set(TOPICS)) == 22
    assert len(set(SEED_PAIRS)) == 20


def test_duplicates_long_answers_and_what_is_not_confirmed_are_dropped():
    calls = []

    def confirm(questions, answers):
        calls.extend(zip(questions, answers, strict=True))
        return [answer == "Blue" for answer in answers]

    rows = prior_known_qa(Writer(WRITTEN), ["things"], confirm=confirm, generator=torch.Generator().manual_seed(0))
    assert calls == [("What colour is the sky?", "Blue"), ("How many legs has a dog?", "Five")]
    assert [(row.question, row.answers, row.relation) for row in rows] == [
        ("What colour is the sky?", ("Blue",), "known things")
    ]


def test_it_asks_again_until_there_are_enough_and_says_what_about():
    more = "Q: Who rules the waves?\nA: Nobody"
    writer = Writer(WRITTEN, more)
    rows = prior_known_qa(
        writer, ["seas"], confirm=lambda q, a: [True] * len(q), generator=torch.Generator().manual_seed(0), per_topic=3,
        most_calls=5,
    )  # fmt: skip
    assert len(writer.prompts) == 2
    assert all("seas" in prompt for prompt in writer.prompts)
    assert [row.question for row in rows][-1] == "Who rules the waves?"


def test_pairs_are_read_strictly():
    assert read_pairs("q. Is it?\n\na. Yes\nQ: And?\nA: ...") == [("Is it?", "Yes")]


def test_bad_input():
    with pytest.raises(InputError, match="0 topics"):
        prior_known_qa(Writer(), [], confirm=lambda q, a: [], generator=torch.Generator())
