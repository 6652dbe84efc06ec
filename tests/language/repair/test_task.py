"""A task's score: each metric by its definition."""

import math

import pytest

from trued.data.prompts import ReplyRow
from trued.errors import InputError
from trued.language.repair.task import exact, task_score, task_scores

ROWS = [ReplyRow("one", "uno"), ReplyRow("two", "dos")]


def test_likelihood_is_the_mean_probability_of_a_token(tiny):
    scores = task_scores(tiny, ROWS, "likelihood")
    logprobs = tiny.logprobs(["one", "two"], [["uno"], ["dos"]])
    assert scores == pytest.approx([math.exp(float(group[0].mean())) for group in logprobs])
    assert all(0 < score < 1 for score in scores)


def test_generated_replies_are_compared(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "generate", lambda prompts, max_new_tokens: [[" uno\n"], ["dos tres"]])
    assert task_scores(tiny, ROWS, "exact") == [1.0, 0.0]
    assert task_scores(tiny, ROWS, "rouge-l") == [1.0, pytest.approx(2 / 3)]
    assert task_score(ROWS, "exact")(tiny) == 0.5
    assert not exact("uno dos", "uno")


def test_what_cannot_be_scored_is_named(tiny):
    with pytest.raises(InputError, match=r"unknown metric 'rouge'.*rouge-l"):
        task_scores(tiny, ROWS, "rouge")
    with pytest.raises(InputError, match="no task rows"):
        task_scores(tiny, [], "exact")
