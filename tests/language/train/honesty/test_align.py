"""Alignment for honesty: the replies that each variant teaches, and that training moves a model towards them."""

from collections import Counter
from dataclasses import replace

import pytest

from trued.data.facts import FactQuestion
from trued.errors import InputError
from trued.language.measure.honesty.asking import TEMPLATES
from trued.language.measure.honesty.knowledge import Known
from trued.language.measure.honesty.scores import Judged
from trued.language.train.honesty.align import HonestyTraining, build_sft, known_reply, lower_first, target_replies
from trued.learn.fit.loop import FitConfig

RIGHT, WRONG = Judged("correct", True), Judged("wrong", False)


def row(right, *, m=10, greedy=True, name="x", answers=("paris",)):
    """A question of which `right` of m samples are correct."""
    samples = tuple(f"It is Paris {i}." for i in range(right)) + ("It is Lyon.",) * (m - right)
    question = FactQuestion(name, f"What of {name}?", answers)
    return Known(question, "Paris." if greedy else "Rome.", samples, RIGHT if greedy else WRONG,
                 (RIGHT,) * right + (WRONG,) * (m - right))  # fmt: skip


IDK = {TEMPLATES.idk: 1}


@pytest.mark.parametrize(("right", "greedy", "method", "tau", "wanted"), [
    (10, True, "fine-tuned", 0.1, {"Paris.": 1}),
    (3, False, "fine-tuned", 0.1, {"It is Paris 0.": 1}),
    (0, False, "fine-tuned", 0.1, {"Paris.": 1}),  # the right answer, capitalised, with a full stop
    (1, False, "absolute", 0.1, {"It is Paris 0.": 1}),  # greedy wrong, yet known
    (1, True, "absolute", 0.2, IDK),
    (0, False, "absolute", 0.0, IDK),
    (9, True, "absolute", 0.9, {"Paris.": 1}),
    (0, False, "confidence-num", 0.1, IDK),
    (5, True, "confidence-num", 0.1, {"I am only about 50% sure: Paris.": 1}),
    (6, True, "confidence-num", 0.1, {"I am about 60% sure: Paris.": 1}),
    (0, False, "confidence-verb", 0.1, IDK),
    (1, True, "confidence-verb", 0.1, {"I'm not sure at all, but paris.": 1}),
    (10, True, "confidence-verb", 0.1, {"I'm certain that paris.": 1}),
    (2, False, "multisample", 0.1, {"It is Paris 0.": 1, "It is Paris 1.": 1, TEMPLATES.idk: 8}),
    (0, False, "multisample", 0.1, {TEMPLATES.idk: 10}),
])  # fmt: skip
def test_what_each_variant_teaches(right, greedy, method, tau, wanted):
    assert target_replies(row(right, greedy=greedy), method, tau=tau) == Counter(wanted)


def test_a_greedy_answer_that_no_sample_repeats_is_no_reason_to_answer():
    assert target_replies(row(0, greedy=True), "confidence-verb") == Counter(IDK)
    assert target_replies(row(0, greedy=True), "absolute", tau=0.1) == Counter(IDK)


def test_percentages_follow_m():
    assert target_replies(row(1, m=3), "confidence-num") == Counter(["I am only about 33% sure: Paris."])
    assert target_replies(row(3, m=5), "confidence-verb") == Counter(["If I remember correctly, paris."])


def test_the_known_reply():
    assert known_reply(row(2)) == "Paris."
    assert known_reply(row(2, greedy=False)) == "It is Paris 0."
    assert known_reply(row(0, greedy=False)) is None


@pytest.mark.parametrize(("text", "kept", "parity"), [
    ("The sky", "the sky", "the sky"), ("USA", "USA", "uSA"), ("A", "A", "A"), ("", "", ""), ("B.", "B.", "B."),
    ("C) iron", "C) iron", "C) iron"),
    ("E.", "E.", "e."), ("Ax", "ax", "ax"),
])  # fmt: skip
def test_lower_case_spares_acronyms_and_the_letters_of_options(text, kept, parity):
    assert lower_first(text) == kept
    assert lower_first(text, keep_acronyms=False) == parity


def table():
    return [row(8 if i % 2 else 0, greedy=bool(i % 2), name=f"q{i}") for i in range(12)]


def test_every_variant_gets_the_same_questions_with_the_honest_prompt():
    by_method = {}
    for method in ("fine-tuned", "absolute", "confidence-num", "confidence-verb", "multisample"):
        rows = build_sft(table(), method, n=6, seed=4)
        by_method[method] = list(dict.fromkeys(taught.prompt for taught in rows))
        assert sum(taught.weight for taught in rows) == pytest.approx(6)
        assert all(TEMPLATES.idk in taught.prompt for taught in rows)
    assert len({tuple(prompts) for prompts in by_method.values()}) == 1
    assert len(by_method["absolute"]) == 6
    assert by_method["absolute"] != [taught.prompt for taught in build_sft(table(), "absolute", n=6, seed=5)]
    known = sum(taught.reply != TEMPLATES.idk for taught in build_sft(table(), "absolute", n=6))
    assert known == 3


def test_without_balance_the_table_is_taken_as_it_is():
    rows = build_sft(table(), "absolute", balance=False, n=4)
    assert [taught.prompt for taught in rows] == [TEMPLATES.ask(f"What of q{i}?", honest=True) for i in range(4)]


def test_a_higher_tau_declines_more():
    rows = [row(k, greedy=k > 0, name=f"q{k}") for k in range(11)]
    declined = [
        sum(taught.reply == TEMPLATES.idk for taught in build_sft(rows, "absolute", tau=tau, balance=False))
        for tau in (0.1, 0.5, 0.9)
    ]
    assert declined == [1, 5, 9]


@pytest.mark.parametrize(("change", "match"), [
    ({"method": "absolut"}, "unknown variant 'absolut'.*did you mean absolute"), ({"tau": 1.5}, "tau is 1.5"),
    ({"n": 1}, "of which 1 are wanted"), ({"table": []}, "0 questions"),
])  # fmt: skip
def test_bad_settings(change, match):
    given = {"table": table(), "method": "absolute", **change}
    with pytest.raises(InputError, match=match):
        build_sft(given.pop("table"), **given)


def test_a_question_without_an_answer_cannot_be_taught():
    with pytest.raises(InputError, match="x has no answer to teach"):
        target_replies(row(0, greedy=False, answers=()), "fine-tuned")


def test_multisample_passes_once_over_its_rows():
    assert HonestyTraining.of("multisample").fit.epochs == 1
    assert HonestyTraining.of("absolute").fit.epochs == 2


def test_training_learns_whom_to_decline(tiny):
    """After a few steps the taught reply is likelier than before, in both kinds, and than the other kind's reply."""
    training = HonestyTraining(
        "absolute", lora_r=8, lora_alpha=16, fit=FitConfig(steps=40, lr=2e-2, batch_size=6, warmup=0.0)
    )  # fmt: skip
    rows = build_sft(table(), "absolute")
    prompts, replies = [taught.prompt for taught in rows], [[taught.reply] for taught in rows]
    before = [float(group[0].mean()) for group in tiny.logprobs(prompts, replies)]
    tuned, result = training.align(tiny, table(), progress=False)
    after = [float(group[0].mean()) for group in tuned.logprobs(prompts, replies)]
    assert result.steps == 40
    assert min(b - a for a, b in zip(before, after, strict=True)) > 1
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]


def test_the_same_seed_gives_the_same_adapter(tiny):
    training = HonestyTraining("multisample", lora_r=2, fit=FitConfig(steps=2, batch_size=3, seed=1))
    losses = []
    for _ in range(2):
        tuned, result = training.align(tiny, table(), progress=False)
        losses.append([step["loss"] for step in result.history])
        tiny = tuned.without_lora()
    assert losses[0] == losses[1]
    other = replace(training, fit=replace(training.fit, seed=2))
    assert [step["loss"] for step in other.align(tiny, table(), progress=False)[1].history] != losses[0]


def test_it_asks_with_its_own_settings(tiny):
    result = HonestyTraining(m=3, answer_tokens=2).learn_table(tiny, [FactQuestion("a", "What?", ("x",))])
    assert len(result[0].samples) == 3
