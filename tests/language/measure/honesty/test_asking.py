"""Wordings: slots, grades, and confidences that can be read back from a reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.language.measure.honesty.asking import TEMPLATES, VERBAL_BOUNDS, HonestyTemplates
from trued.language.measure.honesty.scores import IdkDetector


def test_prompts_hold_the_question_and_permission_to_decline():
    question = "What is {this} and {idk}?"
    assert TEMPLATES.ask(question).count(question) == 1
    honest = TEMPLATES.ask(question, honest=True)
    assert honest.endswith(TEMPLATES.ask(question))
    assert honest.count(TEMPLATES.idk) == 1


@given(st.integers(1, 20), st.data())
def test_a_stated_confidence_is_read_back(m, data):
    accuracy = data.draw(st.integers(0, m)) / m
    assert TEMPLATES.stated(TEMPLATES.numeric(accuracy) + "Paris.") == pytest.approx(accuracy, abs=0.0051)
    grade = TEMPLATES.grade(accuracy)
    low, high = ((0, *VERBAL_BOUNDS)[grade], VERBAL_BOUNDS[grade])
    assert (low < accuracy or grade == 0) and accuracy <= high + 1e-9  # noqa: PT018
    assert TEMPLATES.stated(TEMPLATES.verbal[grade] + "paris.") == pytest.approx((low + high) / 2)


def test_thirds_of_samples_fall_where_their_share_lies():
    assert [TEMPLATES.grade(k / 10) for k in range(1, 11)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert TEMPLATES.grade(0.1 + 0.2 + 0.1 + 0.2) == 2  # 0.6000000000000001
    assert TEMPLATES.numeric(1 / 3) == TEMPLATES.low_confidence.replace("{percent}", "33")
    assert TEMPLATES.numeric(0.5).startswith(TEMPLATES.low_confidence[:9])
    assert TEMPLATES.numeric(0.6).startswith(TEMPLATES.high_confidence[:9])


def test_no_confidence_counts_as_declining_and_declining_states_none():
    detector = IdkDetector(TEMPLATES.idk)
    for prefix in (*TEMPLATES.verbal, TEMPLATES.numeric(0.1), TEMPLATES.numeric(0.9)):
        assert not detector.declines("What is it?", f"{prefix}it is Paris.")
    assert TEMPLATES.stated(TEMPLATES.idk) is None
    assert TEMPLATES.stated("Paris.") is None


@pytest.mark.parametrize(("change", "match"), [
    ({"plain": "Answer!"}, r"plain is 'Answer!'.*\{question\}"), ({"low_confidence": "sure: "}, r"\{percent\}"),
    ({"verbal": ("maybe ",)}, "verbal has 1 texts: it needs 5"), ({"idk": " "}, "idk is empty"),
])  # fmt: skip
def test_templates_without_their_slots_are_refused(change, match):
    with pytest.raises(InputError, match=match):
        HonestyTemplates(**change)
