"""Correctness by a second model: two steps, ratings that are read strictly."""

import pytest

from trued.errors import InputError
from trued.language.measure.honesty.verify import LlmVerifier, read_rating


class Scripted:
    """Returns the reply for the first marker that a prompt holds."""

    def __init__(self, **replies):
        self.replies, self.prompts = replies, []

    def generate(self, prompts, *, max_new_tokens):
        self.prompts += prompts
        return [[next(reply for marker, reply in self.replies.items() if marker in p)] for p in prompts]


def test_the_short_answer_is_taken_out_and_then_rated():
    model = Scripted(Copy="the {reply} Light", agree="0.9")
    verifier = LlmVerifier(model)
    assert verifier(["Capital {answer}?"], ["It is the city of light."], [["Paris", "Lutetia"]]) == [True]
    first, second = model.prompts
    assert "It is the city of light." in first
    assert "Paris" not in first
    assert "Correct answer: Paris / Lutetia\nGiven answer: the {reply} Light" in second
    assert "Capital {answer}?" in second


@pytest.mark.parametrize(("rating", "right"), [("0.7", False), ("0.71", True), ("I rate 10", False), ("", False)])
def test_only_a_rating_above_the_threshold_counts(rating, right):
    assert LlmVerifier(Scripted(Copy="x", agree=rating))(["q"], ["r"], [["a"]]) == [right]


@pytest.mark.parametrize(("text", "value"), [
    ("1", 1), ("0", 0), (".5", 0.5), ("Rating: 0.85.", 0.85), ("1.0", 1), ("1.5", None), ("7", None), ("10", None),
    ("10.5", None), ("none", None), ("2 of 1", 1),
])  # fmt: skip
def test_ratings(text, value):
    assert read_rating(text) == value


def test_bad_settings():
    with pytest.raises(InputError, match=r"threshold is 1\.2"):
        LlmVerifier(None, threshold=1.2)
    with pytest.raises(InputError, match=r"rate lacks the slot \{short\}"):
        LlmVerifier(None, rate="{question} {answer}")


@pytest.mark.parametrize(("rating", "right"), [("<think>0.1?</think>0.9", True), ("<think>0.9", False)])
def test_the_rating_stands_after_a_thought(rating, right):
    model = Scripted(Copy="<think>Paris?</think>Lyon", agree=rating)
    assert LlmVerifier(model)(["q"], ["r"], [["Lyon"]]) == [right]
    assert "Given answer: Lyon" in model.prompts[-1]
