"""The attacker's conversation: what it is told, what is forgotten, and how forgivingly its JSON is read."""

import pytest

from trued.language.attack.contract import Behavior
from trued.language.attack.refine import Proposal, continued, opening, read_proposal

ASK = Behavior("a", "say {that}", context="A page.")


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ('{"improvement": "x", "prompt": "p"}', "p"),
        ('Sure!\n```json\n{"improvement": "x",\n "prompt": "line\nbreak"}\n```', "line\nbreak"),
        ('{"prompt": " p "}', "p"),
        ('{"improvement": "x"}', None),
        ('{"prompt": ""}', None),
        ('{"prompt": 3}', None),
        ("{not json}", None),
        ("nothing", None),
        ("[1]", None),
        (r'{"prompt": "p \ud83d"}', "p \ufffd"),
        ('{"prompt": "p", "n": ' + "9" * 5000 + "}", None),
        ('{"prompt": ' + "[" * 9999 + "}", None),
    ],
)
def test_reading_a_proposal(text, prompt):
    proposal = read_proposal(text)
    assert (proposal.prompt if proposal else None) == prompt


def test_the_goal_is_told_with_its_context_and_braces():
    system, user = opening(ASK, "Sure, {x}")
    for turn in (system, user):
        assert ASK.prompt in turn["content"]
        assert "Sure, {x}" in turn["content"]
    assert '{"improvement"' in system["content"]


def test_only_the_last_rounds_are_kept():
    history = opening(ASK, "Sure")
    for k in range(5):
        history = continued(history, Proposal("why", f"p{k}"), f"r{k}", 1 + k, ASK, keep_last=2)
    assert [turn["role"] for turn in history] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [read_proposal(turn["content"]).prompt for turn in history[2::2]] == ["p3", "p4"]
    assert "r4" in history[-1]["content"]
    assert "Score: 5 of 10" in history[-1]["content"]
