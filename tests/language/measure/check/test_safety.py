"""A check counts what was said: rates equal a count by hand, unknown is never safe, comparisons are item by item."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from trued.data.prompts import prompts, templates
from trued.errors import InputError
from trued.language.attack.contract import TestCase
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.judge.refusals import RefusalClass, refusal_class
from trued.language.judge.reply import Label, PhraseJudge
from trued.language.measure.check.answers import Answers, Question
from trued.language.measure.check.answers import label as label_all
from trued.language.measure.check.gates import Gates
from trued.language.measure.check.metric import Outcomes, rate_change
from trued.language.measure.check.result import CheckResult
from trued.language.measure.check.safety import CheckConfig, check
from trued.language.measure.check.utility import text_perplexity
from trued.learn.statistics import holm, mcnemar, wilson

CONFIG = CheckConfig(
    harmful=6, prefilled=3, lookalikes=4, general=3, attacked=3, max_new_tokens=4, steps=2, prefill=(1, 3)
)
Z2 = 1.959963984540054**2
WAYS = ("direct", "templates", "prefill-1", "prefill-3")


class ScriptedJudge:
    """Labels by the reply's length, so that all three labels occur and each can be counted by hand."""

    name = "scripted"

    def label(self, prompts: Sequence[str], replies: Sequence[str]) -> list[Label]:
        self.asked = list(prompts)
        return [list(Label)[sum(map(ord, reply)) % 3] for reply in replies]


class ConstantJudge:
    """Gives the same label whatever was said."""

    def __init__(self, label: Label) -> None:
        self.name, self.given = "constant", label

    def label(self, prompts: Sequence[str], replies: Sequence[str]) -> list[Label]:
        return [self.given] * len(replies)


def adapted(seed: int = 0) -> LanguageModel:
    """A model with an adapter that does something: its second factors are no longer zero."""
    lm = tiny_model().with_lora(4, 8)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.3, generator=generator)
    return lm


@pytest.fixture(scope="module")
def judge() -> ScriptedJudge:
    return ScriptedJudge()


@pytest.fixture(scope="module")
def plain(judge: ScriptedJudge) -> CheckResult:
    return check(tiny_model(), config=CONFIG, judge=judge)


@pytest.fixture(scope="module")
def compared(judge: ScriptedJudge) -> CheckResult:
    lm = adapted()
    return check(lm, lm, CONFIG, judge=judge)


def with_labels(result: CheckResult, labels: dict[str, list[str]]) -> CheckResult:
    answers = {way: replace(result.answers[way], labels=tuple(given)) for way, given in labels.items()}
    return replace(result, answers=answers)


def test_rates_equal_a_count_by_hand(plain: CheckResult) -> None:
    seen: set[str] = set()
    for way in WAYS:
        labels = plain.answers[way].labels
        seen |= set(labels)
        for prefix, label in (("refusal", "no"), ("asr", "yes")):
            metric = plain.metric(f"{prefix}.{way}")
            count = sum(given == label for given in labels)
            unknown = sum(given == "unknown" for given in labels)
            low, high = wilson(count, len(labels)).low, wilson(count + unknown, len(labels)).high
            assert (metric.value, metric.low, metric.high) == (count / len(labels), low, high)
            assert metric.n == len(labels)
            assert metric.unknown == unknown / len(labels)
            assert (metric.highest, metric.lower_bound) == ((count + unknown) / len(labels), unknown > 0)
    assert seen == {"yes", "no", "unknown"}


def test_every_reply_is_kept_beside_its_prompt_and_its_template(plain: CheckResult) -> None:
    lm, wraps = tiny_model(), {frame.id: frame for frame in templates()}
    answers = plain.answers["templates"]
    assert len(set(answers.variants)) == len(answers.prompts) == 6  # the templates rotate
    for name, variant, reply in zip(answers.prompts, answers.variants, answers.replies, strict=True):
        wrapped = wraps[variant].wrap(plain.texts[name])
        assert lm.generate([wrapped], max_new_tokens=4) == [[reply]]
    prefilled = plain.answers["prefill-3"]
    start = lm.tokenizer.decode(lm.reply_ids(CONFIG.target, end=False)[:3])
    for name, reply in zip(prefilled.prompts, prefilled.replies, strict=True):
        assert lm.generate([plain.texts[name]], prefill=start, max_new_tokens=4) == [[reply]]


def test_limits_spread_over_the_categories() -> None:
    rows = prompts("harmful", "test")
    config = replace(CONFIG, harmful=len({row.category for row in rows}))
    result = check(tiny_model(), config=replace(config, attacks=("direct",), max_new_tokens=1), judge=ScriptedJudge())
    categories = {row.id: row.category for row in rows}
    assert len({categories[name] for name in result.answers["direct"].prompts}) >= 0.8 * len(set(categories.values()))


def test_the_judge_sees_the_request_without_its_template(plain: CheckResult) -> None:
    judge = ScriptedJudge()
    plain_requests = {row.prompt for row in prompts("harmful", "test")}
    check(tiny_model(), config=replace(CONFIG, attacks=("templates",)), judge=judge)
    assert set(judge.asked) <= plain_requests


def test_at_least_one_is_no_less_than_each_attack_on_the_same_prompts(plain: CheckResult) -> None:
    ids, broken, undecided = plain.alo()
    assert ids == list(plain.answers["prefill-1"].prompts)  # those that every attack was tried on
    for way in WAYS:
        by_prompt = dict(zip(plain.answers[way].prompts, plain.answers[way].labels, strict=True))
        assert np.mean([by_prompt[name] == "yes" for name in ids]) <= plain.metric("alo-asr").value
    assert not (broken & undecided).any()


def test_at_least_one_by_hand_and_as_a_lower_bound(plain: CheckResult) -> None:
    labels = {way: ["no"] * len(plain.answers[way].prompts) for way in WAYS}
    assert with_labels(plain, labels).metric("alo-asr").value == 0
    assert not with_labels(plain, labels).metric("alo-asr").lower_bound
    labels["prefill-3"] = ["yes", "unknown", "no"]
    result = with_labels(plain, labels).metric("alo-asr")
    assert (result.value, result.unknown, result.lower_bound, result.n) == (1 / 3, 1 / 3, True, 3)
    labels["prefill-1"] = ["no", "yes", "no"]  # the unknown reply no longer matters: another attack got through
    result = with_labels(plain, labels).metric("alo-asr")
    assert (result.value, result.unknown, result.lower_bound) == (2 / 3, 0, False)


def test_unknown_is_never_safe() -> None:
    result = check(tiny_model(), config=CONFIG, judge=ConstantJudge(Label.UNKNOWN))
    for way in WAYS:
        assert result.metric(f"refusal.{way}").value == 0
        assert result.metric(f"asr.{way}").value == 0
        assert result.metric(f"asr.{way}").unknown == 1
    assert result.metric("alo-asr").lower_bound
    assert not any(outcome.passed for outcome in Gates(max_asr=0.9, max_alo_asr=0.9, min_refusal=0.1).outcomes(result))
    assert any("could not tell" in note for note in result.notes)


def test_the_gate_and_the_table_see_the_same_rate(plain: CheckResult) -> None:
    first = plain.answers["direct"]
    labels = ("yes",) * 15 + ("unknown",) * 4 + ("no",) * 5
    direct = Answers(tuple(map(str, range(24))), first.variants * 4, first.replies * 4, labels)
    result = replace(plain, answers={"direct": direct})
    metric = result.metric("asr.direct")
    assert (metric.value, metric.highest, metric.lower_bound) == (15 / 24, 19 / 24, True)
    assert metric.high == wilson(19, 24).high
    assert result.metric("refusal.direct").value == 5 / 24
    assert Gates(max_asr=0.78).outcomes(result)[0].value == metric.highest
    assert not Gates(max_asr=0.78).outcomes(result)[0].passed


def test_over_refusal_has_xstests_classes(plain: CheckResult) -> None:
    answers = plain.answers["lookalikes"]
    assert answers.labels == tuple(str(refusal_class(reply)) for reply in answers.replies)
    full, partial, none = RefusalClass.FULL_REFUSAL, RefusalClass.PARTIAL_REFUSAL, RefusalClass.FULL_COMPLIANCE
    labels = {
        **{way: list(plain.answers[way].labels) for way in plain.answers},
        "lookalikes": [full, partial, none, full],
    }
    result = with_labels(plain, labels)
    names = ("over-refusal.lookalikes", "over-refusal.lookalikes.full", "over-refusal.lookalikes.partial")
    assert [result.metric(name).value for name in names] == [0.75, 0.5, 0.25]


def test_a_model_against_itself_differs_by_exactly_nothing(judge: ScriptedJudge, plain: CheckResult) -> None:
    result = check(tiny_model(), tiny_model(), CONFIG, judge=judge)
    changes = [metric.change for metric in result.metrics if metric.id != "agreement"]
    assert all(changes)
    for metric in result.metrics:
        if metric.change is not None:
            nothing = 1.0 if metric.unit == "perplexity" else 0.0
            assert metric.change.estimate == nothing
            assert metric.change.baseline == pytest.approx(metric.value)
            if metric.unit != "share":
                assert metric.change.low == metric.change.high == nothing
            elif metric.id != "alo-asr":  # its unknown prompts are not paired word for word
                width = Z2 / (metric.n + Z2)  # equal replies cannot differ, whatever the judge could not tell
                assert (metric.change.low, metric.change.high) == pytest.approx((-width, width))
                assert metric.change.p_value == 1
    agreement = result.metric("agreement")
    assert (agreement.value, agreement.low, agreement.high) == (
        1,
        wilson(3, 3).low,
        1,
    )  # three conversations, all alike
    assert plain.against(plain).metrics == result.metrics  # an earlier result compares as a model does


def test_the_curve_starts_at_the_clean_cross_entropy_and_falls(plain: CheckResult) -> None:
    lm = tiny_model()
    rows = [plain.texts[name] for name in plain.curve.ids]
    clean = [-float(tokens.mean()) for (tokens,) in lm.logprobs(rows, [[CONFIG.target]] * len(rows), end=False)]
    assert plain.curve.radii == (0.0, 0.025, 0.05, 0.1)
    assert plain.curve.values[0] == pytest.approx(clean, abs=1e-5)
    assert plain.metric("target-ce.0").value == pytest.approx(np.mean(clean), abs=1e-5)
    attacked = np.array(plain.curve.values)
    assert (attacked[1:] < attacked[0]).all()


def test_perplexity_is_the_engines(plain: CheckResult) -> None:
    lm, rows = tiny_model(), {row.id: row for row in prompts("general", "test")}
    chats = [(rows[name].prompt, rows[name].reply or "") for name in plain.chat.ids]
    assert plain.chat.nll == pytest.approx(lm.nats_per_token(chats).tolist(), abs=1e-5)
    assert plain.metric("perplexity").value == pytest.approx(float(lm.nats_per_token(chats).mean().exp()), rel=1e-5)


def test_an_adapter_is_checked_on_and_its_base_with_it_off(compared: CheckResult, plain: CheckResult) -> None:
    before = compared.baseline
    assert before is not None
    assert before.answers == plain.answers
    assert np.allclose(before.curve.values, plain.curve.values, atol=1e-5)
    assert before.chat.choices == plain.chat.choices
    assert compared.chat.nll != before.chat.nll
    assert compared.metric("agreement").value < 1
    same = [
        a == b
        for x, y in zip(compared.chat.choices, before.chat.choices, strict=True)
        for a, b in zip(x, y, strict=True)
    ]
    assert compared.metric("agreement").value == pytest.approx(np.mean(same))


def test_the_base_object_that_an_adapter_was_put_on_is_its_base(judge: ScriptedJudge, compared: CheckResult) -> None:
    base = tiny_model()
    tuned = base.with_lora(4, 8)
    tuned.model.load_state_dict(adapted().model.state_dict())
    result = check(tuned, base, CONFIG, judge=judge)
    assert result.answers == compared.answers
    assert result.baseline is not None
    assert compared.baseline is not None
    assert result.baseline.answers == compared.baseline.answers


def test_the_check_leaves_the_model_as_it_was() -> None:
    lm = adapted()
    lm.model.train()
    weights = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    check(lm, config=replace(CONFIG, attacks=("direct",), max_new_tokens=1), judge=ScriptedJudge())
    assert all(torch.equal(weights[name], tensor) for name, tensor in lm.model.state_dict().items())
    assert lm.model.training
    assert any(p.requires_grad for p in lm.model.parameters())


def test_changes_of_rates_are_tested_and_adjusted_together(compared: CheckResult) -> None:
    before = compared.baseline
    assert before is not None
    rates = [metric for metric in compared.metrics if metric.unit == "share" and metric.change]
    raw = [metric.change.p_value for metric in rates if metric.change]
    first, second = before.answers["direct"], compared.answers["direct"]
    assert rates[0].change is not None
    assert raw[0] == max(p_values(first, second))
    assert [metric.change.p_holm for metric in rates if metric.change] == list(holm(raw))
    assert all(metric.change.p_value is None for metric in compared.metrics if metric.unit != "share" and metric.change)


def p_values(before: Answers, after: Answers) -> list[float]:
    """McNemar's test of refusals under every assignment of the unknown replies; equal replies are equally labelled."""
    pairs = zip(before.labels, after.labels, before.replies, after.replies, strict=True)
    choices = []
    for earlier, after_label, reply, later in pairs:
        firsts, seconds = ([label == "no"] if label != "unknown" else [False, True] for label in (earlier, after_label))
        both = [(a, b) for a in firsts for b in seconds if reply != later or a == b]
        choices.append(both)
    tables = [np.array(table) for table in itertools.product(*choices)]
    changes = [int(table[:, 1].sum()) - int(table[:, 0].sum()) for table in tables]
    if min(changes) <= 0 <= max(changes):
        return [1.0]
    return [mcnemar(table[:, 0], table[:, 1]).p_value for table in tables]


def refused(labels: str) -> Outcomes:
    """One letter a reply: refused, answered, unknown."""
    return Outcomes(np.array([letter == "r" for letter in labels]), np.array([letter == "u" for letter in labels]))


@pytest.mark.parametrize(
    ("before", "after"), [("rrraau", "uuaaaa"), ("rrrrrrrr", "aaaaaaau"), ("uuu", "uuu"), ("ar", "ru")]
)
def test_a_change_holds_whatever_the_unknown_replies_are(before: str, after: str) -> None:
    prompts = [str(i) for i in range(len(before))]
    result = rate_change(refused(before), refused(after), prompts, seed=0)
    p_values = []
    options = [["r", "a"] if letter == "u" else [letter] for letter in before + after]
    for letters in itertools.product(*options):
        early, late = refused("".join(letters[: len(before)])), refused("".join(letters[len(before) :]))
        known = rate_change(early, late, prompts, seed=0)
        assert result.low <= known.low <= known.estimate <= known.high <= result.high
        p_values.append(known.p_value)
    assert result.p_value >= max(p_values)
    assert result.baseline_bound == ("u" in before)


def test_pairs_that_all_agree_leave_fourteen_points_either_way() -> None:
    same = refused("r" * 20 + "a" * 4)
    result = rate_change(same, same, [str(i) for i in range(24)], seed=0)
    assert (result.estimate, result.p_value) == (0, 1)
    assert (round(100 * result.low), round(100 * result.high)) == (-14, 14)
    clustered = rate_change(same, same, [str(i // 2) for i in range(24)], seed=0)
    assert clustered.high == pytest.approx(Z2 / (12 + Z2))  # twelve prompts


def test_several_templates_a_prompt_are_paired_by_prompt() -> None:
    config = replace(CONFIG, attacks=("templates",), templates_per_prompt=3, harmful=4)
    lm = adapted()
    result = check(lm, lm, config, judge=ScriptedJudge())
    answers = result.answers["templates"]
    assert len(answers.prompts) == 12
    assert len(set(zip(answers.prompts, answers.variants, strict=True))) == 12
    metric = result.metric("asr.templates")
    assert metric.low <= metric.value <= metric.high
    assert metric.change is not None
    assert result.metric("alo-asr").n == 4


def test_a_result_survives_json(compared: CheckResult) -> None:
    text = json.dumps(compared.to_json(), allow_nan=False)
    again = CheckResult.from_json(json.loads(text))
    assert again == compared
    assert again.metrics == compared.metrics
    assert json.loads(text)["protocol"]["judge"] == "scripted"


@pytest.mark.parametrize("data", [{}, [], {"schema": 1, "model": "m"}])
def test_what_is_no_result_is_refused(data: object) -> None:
    with pytest.raises(InputError, match="result of a check"):
        CheckResult.from_json(data)


def test_results_of_other_questions_are_not_compared(plain: CheckResult) -> None:
    with pytest.raises(InputError, match="made with harmful 6, this one with 4"):
        check(tiny_model(), plain, replace(CONFIG, harmful=4), judge=ScriptedJudge())
    with pytest.raises(InputError, match="made with judge 'scripted'"):
        check(tiny_model(), plain, CONFIG, judge=ConstantJudge(Label.NO))


def test_an_attack_that_cannot_be_tried_is_named_and_leaves_a_lower_bound() -> None:
    lm = tiny_model()
    one_way = lm.tokenizer.chat_template.replace("in messages", "in messages if message.role != 'assistant'")
    result = check(
        LanguageModel(lm.model, lm.tokenizer, template=one_way), config=CONFIG, judge=ConstantJudge(Label.NO)
    )
    assert "prefill-1" not in result.answers
    assert any(note.startswith("1 of 3 attacks not measured: prefill (") for note in result.notes)
    alo = result.metric("alo-asr")
    assert alo.lower_bound
    assert (alo.value, alo.highest, alo.high) == (0, 1, 1)
    assert not Gates(max_alo_asr=1.0).outcomes(result)[0].passed
    for gates, name in ((Gates(max_asr=1.0), "asr.prefill"), (Gates(min_refusal=0.0), "refusal.prefill")):
        short = [outcome for outcome in gates.outcomes(result) if not outcome.passed]
        assert [(outcome.metric, outcome.value) for outcome in short] == [(name, None)]
        assert "was not measured" in short[0].says


def test_numbers_a_token_are_not_compared_across_tokenizers(plain: CheckResult) -> None:
    other = replace(plain, chat=replace(plain.chat, tokens="another"))
    result = other.against(plain)
    assert result.metric("perplexity").change is None
    assert result.metric("target-ce.0").change is None
    assert result.metric("asr.direct").change is not None
    assert any("another tokenizer" in note for note in result.notes)
    with pytest.raises(InputError, match="agreement"):
        result.metric("agreement")
    for gates in (Gates(min_agreement=0.0), Gates(max_perplexity_increase=1000)):
        (outcome,) = gates.outcomes(result)
        assert not outcome.passed
        assert "not measured: the base has another tokenizer" in outcome.says
    with pytest.raises(InputError, match="give one"):
        Gates(min_agreement=0.5).outcomes(plain)


def test_what_the_chat_template_puts_before_a_reply_is_a_note() -> None:
    lm = tiny_model()
    opened = "{% if message.role == 'assistant' %}<think></think>{% endif %}{{ message['content'] }}"
    thinking = lm.tokenizer.chat_template.replace("{{ message['content'] }}", opened)
    lm = LanguageModel(lm.model, lm.tokenizer, template=thinking)
    result = check(lm, config=replace(CONFIG, attacks=("direct",)), judge=ConstantJudge(Label.NO))
    assert result.notes == lm.limits
    assert "Thoughts play no part" in result.notes[0]
    assert CheckResult.from_json(json.loads(json.dumps(result.to_json()))).notes == result.notes


def test_a_thought_that_is_cut_off_is_unknown_to_harmless_requests_too() -> None:
    case = TestCase("a", [{"role": "user", "content": "x"}])
    questions = [Question(way, case) for way in ("direct", "lookalikes", "lookalikes", "general")]
    thought = "<think>\nI cannot help with that, or can I"
    replies = [thought, thought, thought + "?</think>\nSure: first you", ""]
    answers = label_all(questions, replies, {"a": "x"}, PhraseJudge())
    assert answers["direct"].labels == ("unknown",)
    assert answers["lookalikes"].labels == ("unknown", "full_compliance")
    assert answers["general"].labels == ("full_refusal",)
    assert answers["lookalikes"].replies == tuple(replies[1:3])


def test_cut_thoughts_widen_the_over_refusal_and_are_a_note(plain: CheckResult) -> None:
    given = plain.answers["lookalikes"]
    cut = replace(given, replies=("<think>hm", *given.replies[1:]), labels=("unknown", *["full_compliance"] * 3))
    result = replace(plain, answers={**plain.answers, "lookalikes": cut})
    metric = result.metric("over-refusal.lookalikes")
    assert (metric.value, metric.highest, metric.unknown) == (0, 1 / 4, 1 / 4)
    assert any("1 of" in note and "thoughts that were cut off" in note for note in result.notes)
    assert not any("cut off" in note for note in plain.notes)


def test_damaged_weights_are_named() -> None:
    lm = tiny_model()
    next(lm.model.parameters()).data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        check(lm, config=replace(CONFIG, attacks=("direct",)), judge=ScriptedJudge())


def test_progress_counts_every_stage_to_its_end() -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    check(
        tiny_model(),
        config=replace(CONFIG, attacks=("direct",), max_new_tokens=1),
        judge=ScriptedJudge(),
        progress=lambda done, total, what: seen.setdefault(what, []).append((done, total)),
    )
    assert [what.rpartition(": ")[2] for what in seen] == ["replies", "attacks", "held-out chat"]
    for steps in seen.values():
        assert steps[-1][0] == steps[-1][1]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"harmful": 1}, "at least 2"),
        ({"attacks": ("prefil",)}, "did you mean prefill"),
        ({"attacks": ()}, "no attacks"),
        ({"templates_per_prompt": 21}, "1 to 20"),
        ({"multiples": (-1.0,)}, "multiples"),
        ({"steps": 0}, "positive"),
        ({"prefill": (0,)}, r"prefill is \(0,\)"),
        ({"prefill": ()}, "leave prefill out"),
    ],
)
def test_bad_settings_are_found_before_the_work(changes: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        CheckConfig(**changes)


def test_text_perplexity_belongs_to_the_base_and_knows_no_empty_text() -> None:
    texts = ["one two three", "", "four"]
    result = text_perplexity(adapted())(texts)
    assert result[[0, 2]] == pytest.approx(text_perplexity(tiny_model())(texts)[[0, 2]], rel=1e-5)
    assert np.isnan(result[1])
    assert (result[[0, 2]] > 1).all()
