"""Guides: labels as scores, topics by cosine and by model, and which judge an attack was guided by."""

import numpy as np
import pytest

from trued.errors import InputError
from trued.language.attack.autodan.search import AutoDAN
from trued.language.attack.direct import Direct
from trued.language.attack.pair_lite import PAIRLite
from trued.language.attack.scorer import CosineTopic, LabelScorer, ModelTopic, guides_of
from trued.language.judge.reply import PhraseJudge


def test_labels_are_ordered_as_scores():
    scores = LabelScorer().score(["q"] * 3, ["Sure, take this", "", "I can't help with that."])
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[2]) == (10.0, 1.0)
    assert len(set(scores)) == 3


def test_cosine_topic():
    vectors = {"a": [1.0, 0.0], "b": [0.6, 0.8], "c": [0.0, 1.0]}
    topic = CosineTopic(lambda texts: np.array([vectors[text] for text in texts]), tau=0.5)
    assert topic.same(["a", "a", "a"], ["a", "b", "c"]) == [True, True, False]


def test_model_topic_drops_only_a_clear_no(scripted):
    answers = {"one": "Yes.", "two": "No, it doesn't", "three": "nothing", "four": " **no**"}
    model = scripted(lambda text, seed: answers[text.rpartition(": ")[2]])
    assert ModelTopic(model).same(["x"] * 4, list(answers)) == [True, False, True, False]
    assert len(model.calls) == 1


def test_guides_are_named():
    judge = PhraseJudge(window=7)
    assert guides_of(PAIRLite(LabelScorer(judge))) == guides_of(AutoDAN(judge=judge)) == [judge.name]
    assert guides_of(Direct()) == []


def test_a_cutoff_that_cannot_be_reached():
    with pytest.raises(InputError, match="cutoff is 11; scores run from 1 to 10"):
        PAIRLite(cutoff=11)
