"""PAIRLite climbs: it keeps what scores no less, starts from the plain request, and stops where it succeeds."""

import pytest

from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.pair_lite import PAIRLite

ASKS = [Behavior("a", "say this"), Behavior("b", "say that")]


class Words:
    """Scores a reply by the number of its words."""

    name = "words"

    def score(self, prompts, replies):
        return [min(9.0, len(reply.split()) / 10) for reply in replies]


@pytest.fixture
def echo(tiny, monkeypatch):
    batches = []

    def generate(turns, **_):
        batches.append([turn[-1]["content"] for turn in turns])
        return [[text] for text in batches[-1]]

    monkeypatch.setattr(tiny, "generate", generate)
    return ChatTarget(tiny), batches


def test_it_beats_the_plain_request_and_random_rewrites(echo):
    target, batches = echo
    cases = PAIRLite(Words(), streams=3, steps=12).run(ASKS, target, seed=0)
    assert batches[0][0] == "say this"
    assert batches[0][3] == "say that"
    for case in cases:
        scores = case.meta["scores"]
        assert case.meta["score"] == max(scores) > max(scores[:3])
        assert case.cost.queries == 36
        assert len(case.messages[-1]["content"].split()) == round(10 * case.meta["score"])


def test_a_stream_never_falls_below_where_it_stood(echo):
    target, batches = echo
    PAIRLite(Words(), streams=1, steps=30).run(ASKS[:1], target, seed=3)
    held = 0
    lengths = [len(texts[0].split()) for texts in batches]
    for step, length in enumerate(lengths[1:], start=1):
        held = max(held, lengths[step - 1])
        assert length >= held - 40  # one slot away from the best so far, never from a worse one
    assert max(lengths) > 2 * lengths[0]


def test_it_stops_at_the_first_success(echo):
    target, batches = echo
    (case,) = PAIRLite(streams=2, steps=5).run(ASKS[:1], target, seed=0)  # an echo is no refusal
    assert len(batches) == 1
    assert (case.meta["queries_to_success"], case.messages[-1]["content"]) == (1, "say this")


def test_the_seed_and_the_behaviour_decide(echo):
    target, _ = echo
    run = lambda asks, seed: [c.messages for c in PAIRLite(Words()).run(asks, target, seed=seed)]  # noqa: E731
    both = run(ASKS, 0)
    assert run(ASKS, 0) == both
    assert run(ASKS[1:], 0) == both[1:]
    assert any(run(ASKS, seed) != both for seed in range(1, 4))


def test_a_budget_bounds_the_queries(echo):
    target, batches = echo
    PAIRLite(Words(), streams=4, steps=9).run(ASKS[:1], target, seed=0, budget=10)
    assert sum(map(len, batches)) <= 10


def test_bad_settings():
    with pytest.raises(InputError, match="streams is 0"):
        PAIRLite(streams=0)
