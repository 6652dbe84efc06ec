"""PAIR: streams, batching, scores that are climbed, stopping, and attackers that write no JSON."""

import json

import pytest

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.pair import PAIR

ASKS = [Behavior("a", "say this"), Behavior("b", "say that")]


class Length:
    """Scores a reply by its length."""

    name = "length"

    def score(self, prompts, replies):
        return [float(min(10, len(reply))) for reply in replies]


@pytest.fixture
def echo(tiny, monkeypatch):
    """A target that repeats the last word of its prompt; `asked` are the batches it was given."""
    calls = []

    def generate(turns, **options):
        calls.append((len(turns), options["max_new_tokens"]))
        return [[turn[-1]["content"].split()[-1]] for turn in turns]

    monkeypatch.setattr(tiny, "generate", generate)
    return ChatTarget(tiny), calls


def improving(text, seed):
    """An attacker whose prompts get one letter longer with each score that it is shown."""
    reply = text.partition("The model replied:\n")[2].partition("\n")[0]
    return json.dumps({"improvement": "longer", "prompt": f"say {reply}x"})


def test_prompts_improve_from_round_to_round_and_the_best_is_returned(echo, scripted):
    target, calls = echo
    attack = PAIR(Attacker(scripted(improving)), Length(), streams=3, steps=4, reply_tokens=9)
    cases = attack.run(ASKS, target, seed=0)
    assert [case.behavior_id for case in cases] == ["a", "b"]
    for case in cases:
        assert case.messages[-1]["content"] == "say xxxx"
        assert case.meta["scores"] == [1.0] * 3 + [2.0] * 3 + [3.0] * 3 + [4.0] * 3
        assert case.meta["score"] == 4.0
        assert case.meta["queries_to_success"] is None
        assert case.cost.queries == 12
        assert (case.cost.forwards, case.cost.backwards) == (0, 0)
    assert calls == [(6, 9)] * 4  # the streams of both behaviours in one call a round


def test_a_behaviour_that_is_solved_is_left_alone(echo, scripted):
    target, calls = echo
    jump = lambda text, seed: json.dumps({"prompt": "say xxxxxxxxxx" if "say this" in text else "say x"})  # noqa: E731
    cases = PAIR(Attacker(scripted(jump)), Length(), streams=2, steps=3).run(ASKS, target, seed=0)
    assert cases[0].meta["queries_to_success"] == 1
    assert [case.cost.queries for case in cases] == [2, 6]
    assert [size for size, _ in calls] == [4, 2, 2]


def test_an_attacker_without_json_leaves_the_plain_request(echo, scripted):
    target, received = echo
    attacker = Attacker(scripted(lambda text, seed: "I refuse"), retries=2)
    (case, _) = PAIR(attacker, Length(), streams=2, steps=2).run(ASKS, target, seed=0)
    assert case.messages[-1]["content"] == "say this"
    assert (case.meta["score"], case.meta["unreadable"], case.cost.queries) == (0.0, 4, 0)
    assert received == []
    assert len(attacker.model.calls) == 2 * 3  # each round and its two retries


def test_a_stream_that_stumbles_goes_on_with_the_others(echo, scripted):
    target, _ = echo
    calls = []

    def second_fails(text, seed):
        calls.append(text)
        return "?" if len(calls) == 2 else improving(text, seed)

    (case,) = PAIR(Attacker(scripted(second_fails), retries=0), Length(), streams=2, steps=2).run(
        ASKS[:1], target, seed=0
    )
    assert case.meta["scores"] == [1.0, 2.0, 1.0]
    assert case.meta["unreadable"] == 1


def test_a_budget_bounds_the_queries(echo, scripted):
    target, _ = echo
    for budget in (1, 5, 7):
        (case,) = PAIR(Attacker(scripted(improving)), Length(), streams=3, steps=4).run(
            ASKS[:1], target, seed=0, budget=budget
        )
        assert 1 <= case.cost.queries <= budget


@pytest.mark.parametrize("name", ["streams", "steps", "keep_last", "reply_tokens"])
def test_bad_settings(name):
    with pytest.raises(InputError, match=f"{name} is 0; give at least 1"):
        PAIR(Attacker(None), **{name: 0})
