"""The contract: what a prompt is, which behaviours are refused, and what a target shows, says and scores."""

import pytest
import torch

from trued.errors import InputError
from trued.language.attack.contract import (
    Attack,
    Behavior,
    ChatTarget,
    Cost,
    TestCase,
    checked,
    generator_for,
    user_turn,
)
from trued.language.attack.direct import Direct
from trued.language.attack.gcg.search import GCG
from trued.language.attack.prefill import Prefill
from trued.language.attack.templates import Templates


def test_a_context_precedes_its_request():
    assert Behavior("a", "Summarise it.").prompt == "Summarise it."
    assert Behavior("a", "Summarise it.", context="A letter.").prompt == "A letter.\n\n---\n\nSummarise it."


@pytest.mark.parametrize(
    ("behaviors", "says"),
    [
        ([], "no behaviours"),
        ([Behavior("a", "x"), Behavior("a", "y")], "two behaviours have the id 'a'"),
        ([Behavior("a", " ")], "'a' has no text"),
    ],
)
@pytest.mark.parametrize("attack", [Direct(), Templates(), Prefill(), GCG(steps=1, topk=8)])
def test_every_attack_refuses_bad_behaviours(tiny, attack, behaviors, says):
    assert isinstance(attack, Attack)
    with pytest.raises(InputError, match=says):
        attack.run(behaviors, ChatTarget(tiny), seed=0)


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(InputError, match="budget is 0"):
        checked([Behavior("a", "x")], budget=0)


def test_costs_add_up():
    assert Cost(1, 2, 3, 4.0) + Cost(10, 20, 30, 40.0) == Cost(11, 22, 33, 44.0)


def test_a_behaviors_random_stream_depends_on_the_seed_and_its_id_alone():
    draw = lambda seed, name: torch.rand(4, generator=generator_for(seed, Behavior(name, "text"))).tolist()  # noqa: E731
    assert draw(0, "a") == draw(0, "a")
    assert draw(0, "a") != draw(1, "a")
    assert draw(0, "a") != draw(0, "b")


def test_the_system_prompt_is_sent_once_and_never_over_the_cases_own(tiny):
    target = ChatTarget(tiny, system="Be brief.")
    assert target.render(user_turn("hi"), "Sure") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nSure"
    )
    own = [{"role": "system", "content": "Be long."}, *user_turn("hi")]
    assert target.conversation(own) == own
    assert ChatTarget(tiny).conversation(user_turn("hi")) == user_turn("hi")


def test_a_reply_is_the_whole_turn_and_each_case_gets_its_own_prefill(tiny):
    target = ChatTarget(tiny, max_new_tokens=5)
    cases = [TestCase("a", user_turn("hi"), prefill=prefill) for prefill in ("Sure", "", "Yes")]
    plain = [tiny.generate([user_turn("hi")], max_new_tokens=5, prefill=case.prefill)[0][0] for case in cases]
    assert target.generate(cases) == [case.prefill + text for case, text in zip(cases, plain, strict=True)]


def test_a_reply_that_adds_nothing_to_its_prefill_is_empty(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "generate", lambda turns, **_: [[" \n"], [" it is"]])
    cases = [TestCase("a", user_turn("hi"), prefill="Sure, here")] * 2
    assert ChatTarget(tiny).generate(cases) == ["", "Sure, here it is"]


def test_nll_is_the_mean_over_the_replys_tokens_without_an_end(tiny):
    target = ChatTarget(tiny, system="Be brief.")
    replies = ["Sure, here", "No"]
    cases = [TestCase(str(i), user_turn(text)) for i, text in enumerate(("one", "another one"))]
    expected = []
    for case, reply in zip(cases, replies, strict=True):
        prompt, ids = tiny.prompt_ids(target.conversation(case.messages)), tiny.reply_ids(reply, end=False)
        with torch.no_grad():
            logits = tiny.model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        expected.append(torch.nn.functional.cross_entropy(logits, torch.tensor(ids)))
    torch.testing.assert_close(target.nll(cases, replies), torch.stack(expected), atol=1e-5, rtol=0)
