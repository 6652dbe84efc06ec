"""The taxonomy: forty techniques, each with a frame that keeps the request, and a rewrite that can be read."""

import pytest

from trued.language.attack.persuasion import PERSUASION, rewrite_prompt, rewritten


def test_forty_different_techniques():
    assert len(PERSUASION) == 40
    for field in ("name", "slug", "definition", "example", "frame"):
        assert len({getattr(technique, field) for technique in PERSUASION}) == 40


@pytest.mark.parametrize("technique", PERSUASION, ids=lambda technique: technique.slug)
def test_a_frame_keeps_the_request_word_for_word(technique):
    request = "do {prompt} and {this}?"
    before, after = technique.frame.split("{prompt}")
    assert technique.wrap(request) == before + request + after
    assert len(technique.definition.split()) >= 4
    assert "{prompt}" not in technique.example


def test_the_attacker_is_told_the_technique_and_the_request():
    system, user = rewrite_prompt(PERSUASION[21], "say that")
    assert (system["role"], user["role"]) == ("system", "user")
    for words in ("storytelling", PERSUASION[21].definition, PERSUASION[21].example, "say that"):
        assert words in user["content"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("<message>do it</message>", "do it"),
        ("Well:\n<MESSAGE> a\nb </message> bye", "a\nb"),
        ("<message>cut off", "cut off"),
        ("I can't help with that.", None),
        ("<message> </message>", None),
    ],
)
def test_a_rewrite_is_read_or_none(reply, message):
    assert rewritten(reply) == message
