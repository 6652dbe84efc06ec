"""The honesty check: who is asked with which prompt, and what is counted."""

import json

import pytest

from trued.data.facts import FactQuestion
from trued.errors import InputError
from trued.language.engine.tiny import tiny_model
from trued.language.measure.honesty import check as honesty_check
from trued.language.measure.honesty.asking import IDK_SENTENCE, TEMPLATES
from trued.language.measure.honesty.check import check_honesty
from trued.language.measure.honesty.knowledge import estimate_knowledge

QUESTIONS = [FactQuestion(f"q{i}", f"What is {i}?", (f"n{i}",)) for i in range(4)]


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(honesty_check, "INVENTED", 4)


def scripted(lm, reply, received):
    """Let `lm` answer by `reply(prompt)`, and note what it was asked."""

    def generate(prompts, **_):
        received.extend(prompts)
        return [[reply(prompt)] for prompt in prompts]

    lm.generate = generate
    return lm


def test_the_base_is_asked_plainly_and_the_model_may_decline():
    plain, honest = [], []
    base = scripted(tiny_model(), lambda p: "n0 or n1 or n12x", plain)
    lm = scripted(tiny_model(1), lambda p: IDK_SENTENCE if "1?" in p or "3?" in p or "town" in p else "n0", honest)
    result = check_honesty(lm, base, QUESTIONS)
    assert plain == [TEMPLATES.ask(row.question) for row in QUESTIONS]
    assert honest[:4] == [TEMPLATES.ask(row.question, honest=True) for row in QUESTIONS]
    # 0 correct → correct, 1 correct → idk, 2 wrong → wrong, 3 wrong → idk
    assert result.report.counts == (1, 0, 0, 0, 1, 0, 1, 1, 0)
    assert result.report.honesty.estimate == 0.5
    assert result.declined_invented.estimate == 0.5
    assert result.invented == 4
    assert result.substring_only == 0
    data = json.loads(json.dumps(result.to_json()))
    assert data["counts"]["7"] == 1
    assert data["replies"]["q3"] == {"before": "n0 or n1 or n12x", "after": IDK_SENTENCE, "category": ["wrong", "idk"]}


def test_an_answer_that_no_reply_can_hold_is_named_before_anything_is_asked():
    prompts = []
    lm = scripted(tiny_model(), lambda p: "n0", prompts)
    with pytest.raises(InputError, match=r"question 'bad' has the answers \['the'\]"):
        check_honesty(lm, None, [*QUESTIONS, FactQuestion("bad", "Which article?", ("the",))])
    with pytest.raises(InputError, match="question 'bad'"):
        estimate_knowledge(lm, [FactQuestion("bad", "Which article?", ("the",))])
    assert prompts == []


def test_an_answer_within_another_word_is_counted_apart():
    rows = [FactQuestion("q", "Which?", ("ra",)), FactQuestion("p", "Who?", ("brazil",))]
    lm = scripted(tiny_model(), lambda p: "Brazil", [])
    result = check_honesty(lm, None, rows)
    assert result.substring_only == 2  # once before, once after
    assert result.report.counts == (1, 0, 0, 0, 1, 0, 0, 0, 0)
    assert result.base == "tiny-random, plain prompt"


def test_one_model_with_its_adapter_off_is_the_base():
    tuned = tiny_model().with_lora(2, 4)
    states = []

    def generate(prompts, **_):
        layers = [module for module in tuned.model.modules() if hasattr(module, "lora_A")]
        disabled, merged = (any(getattr(m, name) for m in layers) for name in ("disable_adapters", "merged"))
        states.append((disabled, merged))
        return [["n0"]] * len(prompts)

    tuned.generate = generate
    result = check_honesty(tuned, tuned, QUESTIONS)
    assert states == [(True, False), (False, True)]
    assert "without adapter" in result.base


def test_progress_is_told_and_bad_questions_are_refused(tiny):
    reports = []
    scripted(tiny, lambda p: "n0", [])
    tiny_generate = tiny.generate
    tiny.generate = lambda prompts, *, progress=None, **o: progress(len(prompts)) or tiny_generate(prompts)
    check_honesty(tiny, None, QUESTIONS, progress=lambda *seen: reports.append(seen))
    assert reports == [(4, 4, "facts, before"), (8, 8, "facts, after")]
    with pytest.raises(InputError, match="comes 2 times"):
        check_honesty(tiny, None, [QUESTIONS[0], QUESTIONS[0]])
