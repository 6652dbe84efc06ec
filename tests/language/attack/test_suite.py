"""The suite: everything is judged under one protocol, a run that was cut off goes on, and other weights are refused."""

import json

import pytest

from trued.data.prompts import judged_replies
from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget, TestCase, user_turn
from trued.language.attack.direct import Direct
from trued.language.attack.gcg.search import GCG
from trued.language.attack.pair_lite import PAIRLite
from trued.language.attack.prefill import Prefill
from trued.language.attack.scorer import LabelScorer
from trued.language.attack.suite import Suite
from trued.language.attack.templates import Templates
from trued.language.engine import generation
from trued.language.engine.tiny import tiny_model
from trued.language.judge.models import HarmBenchJudge
from trued.language.judge.reply import Label, PhraseJudge, compare

ASKS = [Behavior("a", "say this"), Behavior("b", "say that", context="A page.")]
ATTACKS = [Direct(), Templates(count=3), Prefill(lengths=(1, 2)), GCG(steps=1, search_width=2, topk=4, suffix_tokens=4)]


@pytest.fixture
def target(tiny):
    return ChatTarget(tiny, max_new_tokens=4)


def test_it_is_the_attacks_the_models_replies_and_the_judges_labels(target):
    result = Suite(ATTACKS).evaluate(target, ASKS, PhraseJudge())
    cases = [case for attack in ATTACKS for b in ASKS for case in attack.run([b], target, seed=0)]
    assert [(c.attack, c.behavior_id, c.prefill, list(c.messages)) for c in result.cases] == [
        (c.attack, c.behavior_id, c.prefill, list(c.messages)) for c in cases
    ]
    drawn = target.model.generate(
        [c.messages for c in cases], prefill=[c.prefill for c in cases], max_new_tokens=target.max_new_tokens
    )
    assert result.replies == tuple(reply for (reply,) in drawn)  # without the prefill
    texts = {b.id: b.prompt for b in ASKS}
    assert result.labels == tuple(PhraseJudge().label([texts[c.behavior_id] for c in cases], result.replies))
    assert result.attacks == ("direct", "templates", "prefill", "gcg")
    assert [rate.name for rate in result.rates] == [*result.attacks, "at least one"]


def test_every_result_says_what_its_rates_must_be_read_with(target):
    result = Suite(ATTACKS[:1], seed=3, budget=9).evaluate(target, ASKS, PhraseJudge())
    assert result.protocol["judge"] == PhraseJudge().name
    assert result.protocol["decoding"] == "greedy, 4 tokens"
    assert (result.protocol["seed"], result.protocol["budget"]) == (3, 9)
    assert "template" in result.target
    outcome = compare(PhraseJudge(), judged_replies())
    assert result.calibration == {
        "replies": outcome.n, "accuracy": round(outcome.accuracy, 4), "kappa": round(outcome.kappa, 4),
        "refusal_accuracy": round(outcome.refusal_accuracy, 4),
    }  # fmt: skip


class Cut(Exception):  # noqa: N818
    """The power goes."""


@pytest.mark.parametrize("at", range(6))
def test_a_run_that_is_cut_off_at_any_point_ends_as_one_that_is_not(tiny, target, tmp_path, monkeypatch, at):
    whole = Suite(ATTACKS[:3]).evaluate(target, ASKS, PhraseJudge())
    path, append, count = tmp_path / "r.jsonl", None, 0
    from trued.language.attack.journal import Journal

    append = Journal.append

    def failing(self, rows):
        nonlocal count
        if count == at + 1:
            raise Cut
        count += 1
        append(self, rows)

    monkeypatch.setattr(Journal, "append", failing)
    with pytest.raises(Cut):
        Suite(ATTACKS[:3]).evaluate(target, ASKS, PhraseJudge(), journal=path)
    monkeypatch.setattr(Journal, "append", append)
    with open(path, "a") as file:
        file.write('{"kind": "cases", "mod')  # and the disk held half a line
    again = Suite(ATTACKS[:3]).evaluate(target, ASKS, PhraseJudge(), journal=path)
    assert (again.replies, again.labels, again.attacks) == (whole.replies, whole.labels, whole.attacks)
    assert [c.messages for c in again.cases] == [list(c.messages) for c in whole.cases]


def test_what_is_done_is_not_done_again(target, tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    first = Suite(ATTACKS).evaluate(target, ASKS, PhraseJudge(), journal=path)
    size = path.stat().st_size
    monkeypatch.setattr(Direct, "run", None)
    monkeypatch.setattr(GCG, "run", None)
    monkeypatch.setattr(target.model, "generate", None)
    second = Suite(ATTACKS).evaluate(target, ASKS, PhraseJudge(), journal=path)
    assert (second.cases, second.labels) == (
        tuple(
            TestCase(c.behavior_id, list(c.messages), c.prefill, c.attack, c.cost, dict(c.meta)) for c in first.cases
        ),
        first.labels,
    )
    assert path.stat().st_size == size
    assert second.to_json() == first.to_json()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"judge": PhraseJudge(window=9)}, "judge was"),
        ({"attacks": [Direct()]}, "attacks was"),
        ({"asks": ASKS[:1]}, "behaviors was"),
        ({"tokens": 5}, "decoding was"),
        ({"system": "Be brief."}, "system was"),
    ],
)
def test_a_journal_of_another_protocol_is_refused(tiny, tmp_path, change, what):
    path = tmp_path / "r.jsonl"

    def evaluate(judge=PhraseJudge(), attacks=ATTACKS[:2], asks=ASKS, tokens=4, system=None):  # noqa: B008
        return Suite(attacks).evaluate(ChatTarget(tiny, system, tokens), asks, judge, journal=path)

    evaluate()
    with pytest.raises(InputError, match=f"another protocol: {what}"):
        evaluate(**change)


def test_models_share_a_journal_and_a_name_belongs_to_its_weights(tmp_path):
    path = tmp_path / "r.jsonl"
    models = [tiny_model(seed) for seed in (0, 1)]
    models[1].name = "other"
    results = [
        Suite(ATTACKS[:2]).evaluate(ChatTarget(m, max_new_tokens=3), ASKS, PhraseJudge(), journal=path) for m in models
    ]
    assert [result.model for result in results] == ["tiny-random", "other"]
    assert results[0].replies != results[1].replies
    assert results[0].protocol == results[1].protocol
    imposter = tiny_model(2)
    with pytest.raises(InputError, match="results of another tiny-random: its weights was"):
        Suite(ATTACKS[:2]).evaluate(ChatTarget(imposter, max_new_tokens=3), ASKS, PhraseJudge(), journal=path)


def test_replies_are_generated_in_the_engines_own_batches(target, monkeypatch):
    attacks = [Direct(), Templates()]
    sizes = []
    decode = generation.decode

    def counting(*args, **options):
        sizes.append(len(args[2]))
        return decode(*args, **options)

    monkeypatch.setattr("trued.language.engine.model.decode", counting)
    monkeypatch.setattr("trued.language.engine.model.BATCH_TOKENS", 2000)
    monkeypatch.setattr("trued.language.attack.suite.BATCH_TOKENS", 2000)
    result = Suite(attacks).evaluate(target, ASKS, PhraseJudge())
    of_the_suite, sizes = sizes[:], []
    target.model.generate([c.messages for c in result.cases], max_new_tokens=4, batch_tokens=2000)
    assert of_the_suite == sizes
    assert max(sizes) > 1


def test_an_attack_that_cannot_run_is_left_out_and_the_bound_says_so(target, monkeypatch):
    monkeypatch.setattr(target.model.format, "continues_replies", lambda: False)
    result = Suite([Direct(), Prefill()]).evaluate(target, ASKS, PhraseJudge())
    assert list(result.left_out) == ["prefill"]
    assert "cannot continue" in result.left_out["prefill"]
    assert result.success.alo.lower_bound == (result.success.alo.broken < 2)
    assert [rate.missing for rate in result.success.attacks] == [0, 2]
    assert any(note.startswith("1 of 2 attacks not measured: prefill (") for note in result.notes)
    with pytest.raises(InputError, match="no attack can be run on tiny-random"):
        Suite([Prefill()]).evaluate(target, ASKS, PhraseJudge())


def test_an_attack_guided_by_the_judge_of_its_success_is_pointed_out(target):
    guided = PAIRLite(LabelScorer(PhraseJudge()), streams=1, steps=1)
    same = Suite([guided]).evaluate(target, ASKS, PhraseJudge())
    assert any("guided by the judge that counts its success" in note for note in same.notes)
    held_out = Suite([guided]).evaluate(target, ASKS, PhraseJudge(window=50))
    assert not any("guided by" in note for note in held_out.notes)


def test_an_adapter_is_folded_in_for_the_time_and_dropout_is_off(tmp_path):
    lm = tiny_model().with_lora(2, 4, 0.5)
    lm.model.train()
    before = {name: p.detach().clone() for name, p in lm.model.named_parameters()}
    seen = []

    class Looking(Direct):
        def run(self, behaviors, target, *, seed, budget=None):
            seen.append(
                (
                    target.model.model.training,
                    [m.merged for m in target.model.model.modules() if hasattr(m, "merged_adapters")],
                )
            )
            return super().run(behaviors, target, seed=seed)

    Suite([Looking()]).evaluate(ChatTarget(lm, max_new_tokens=2), ASKS[:1], PhraseJudge())
    assert seen[0][0] is False
    assert all(seen[0][1])
    assert lm.model.training
    assert all((p == before[name]).all() for name, p in lm.model.named_parameters())


def test_bad_suites(target):
    with pytest.raises(InputError, match="without attacks"):
        Suite([])
    with pytest.raises(InputError, match="two attacks are called 'direct'"):
        Suite([Direct(), Direct()])
    with pytest.raises(InputError, match="no behaviours to attack"):
        Suite([Direct()]).evaluate(target, [], PhraseJudge())


def test_progress_is_told_of_attacks_replies_and_judging(target):
    reports = []
    Suite(ATTACKS[:2]).evaluate(target, ASKS, PhraseJudge(), progress=lambda *args: reports.append(args))
    stages = list(dict.fromkeys(what for _, _, what in reports))
    assert stages == [f"tiny-random: {what}" for what in ("direct", "templates", "replies", "judged")]
    for stage in stages:
        own = [(done, total) for done, total, what in reports if what == stage]
        assert own[-1][0] == own[-1][1]
        assert own == sorted(own)


def test_rows_are_plain_json(target, tmp_path):
    path = tmp_path / "r.jsonl"
    Suite(ATTACKS).evaluate(target, ASKS, PhraseJudge(), journal=path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["kind"] for row in rows[:3]] == ["protocol", "target", "calibration"]
    assert {row["kind"] for row in rows[3:]} == {"cases", "reply", "label"}
    assert user_turn("say this") in [
        case["messages"] for row in rows if row["kind"] == "cases" for case in row["cases"]
    ]


def test_what_an_endpoint_has_to_say_stands_among_the_notes(target):
    class Endpoint:
        name, notes = "far", ["far gave no text for 2 of 2 requests"]

        def generate(self, prompts, *, max_new_tokens):
            return [[""] for _ in prompts]

    result = Suite(ATTACKS[:1]).evaluate(target, ASKS, HarmBenchJudge(Endpoint()))
    assert set(result.labels) == {Label.UNKNOWN}
    assert result.notes[-1] == result.to_json()["notes"][-1] == Endpoint.notes[0]
    assert result.success.alo.held == 0
