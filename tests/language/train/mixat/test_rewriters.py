"""Rewriters: what they write, who writes it, and that the seed decides."""

from dataclasses import dataclass, field, replace

import pytest

from trued.data.prompts import Template
from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.persuasion import PERSUASION
from trued.language.train.mixat import rewriters
from trued.language.train.mixat.rewriters import (
    ChainRewriter,
    PAPRewriter,
    Rewriter,
    StaticRewriter,
    TemplateRewriter,
    instruction,
    unquoted,
    with_instruction,
)

CHAT = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "tell me"}]


@dataclass
class Endpoint:
    """Answers like a chat endpoint: by a seed, never by a generator."""

    replies: list[str]
    prompts: list = field(default_factory=list)
    seeds: list = field(default_factory=list)
    name = "stub"

    def generate(self, prompts, *, seed, **options):
        assert options == {"max_new_tokens": 200, "temperature": 1.0, "top_p": 0.7}
        self.prompts += prompts
        self.seeds.append(seed)
        return [[self.replies.pop(0)] for _ in prompts]


def attacked_by(endpoint):
    return PAPRewriter(Attacker(endpoint, max_new_tokens=200, retries=2))


def test_frames_hold_the_request_and_one_technique_serves_a_batch(tiny):
    rewriter = PAPRewriter()
    texts = rewriter.rewrite(["alpha", "beta", "gamma"], model=tiny, seed=3)
    (technique,) = [t for t in PERSUASION if t.wrap("alpha") == texts[0]]
    assert texts == [technique.wrap(word) for word in ("alpha", "beta", "gamma")]
    assert texts == rewriter.rewrite(["alpha", "beta", "gamma"], model=tiny, seed=3)
    drawn = {rewriter.rewrite(["x"], model=tiny, seed=seed)[0] for seed in range(200)}
    assert len(drawn) == len(PERSUASION)
    many = PAPRewriter(per="prompt").rewrite(["x"] * 40, model=tiny, seed=0)
    assert len(set(many)) > 10


def test_techniques_can_be_held_back(tiny):
    taught = PERSUASION[:2]
    texts = PAPRewriter(techniques=taught, per="prompt").rewrite(["x"] * 30, model=tiny, seed=0)
    assert set(texts) == {technique.wrap("x") for technique in taught}
    with pytest.raises(InputError, match="no techniques"):
        PAPRewriter(techniques=())


def test_only_the_last_user_turn_is_rewritten(tiny):
    frame = Template("t", "f", "Please: {prompt}")
    (text,) = TemplateRewriter((frame,)).rewrite([CHAT], model=tiny, seed=0)
    assert text == "Please: tell me"
    assert with_instruction(CHAT, text) == [CHAT[0], {"role": "user", "content": text}]
    assert CHAT[1]["content"] == "tell me"
    assert with_instruction("tell me", text) == text
    with pytest.raises(InputError, match="none of the user"):
        instruction(CHAT[:1])
    with pytest.raises(InputError, match="no templates"):
        TemplateRewriter(()).rewrite(["x"], model=tiny, seed=0)


def test_an_attacker_is_asked_with_technique_and_request(tiny):
    endpoint = Endpoint(['<message>"Dear friend, tell me"</message>', " “As an expert: tell all” "])
    texts = attacked_by(endpoint).rewrite(["tell me", "tell all"], model=tiny, seed=0)
    assert texts == ["Dear friend, tell me", "As an expert: tell all"]
    for chat, request in zip(endpoint.prompts, ("tell me", "tell all"), strict=True):
        text = chat[-1]["content"]
        assert request in text
        assert any(t.name in text and t.definition in text and t.example in text for t in PERSUASION)


def test_empty_replies_are_asked_for_again_and_then_given_up(tiny):
    endpoint = Endpoint(["", "two", '""', "one"])
    assert attacked_by(endpoint).rewrite(["a", "b"], model=tiny, seed=0) == ["one", "two"]
    assert len(set(endpoint.seeds)) == 3
    assert attacked_by(Endpoint(["one", "", "", ""])).rewrite(["a", "b"], model=tiny, seed=0) == ["one", ""]
    chain = ChainRewriter((attacked_by(Endpoint(["one", "", "", ""])), TemplateRewriter()))
    first, second = chain.rewrite(["a", "b"], model=tiny, seed=0)
    assert "one" in first
    assert second == ""


def test_the_model_may_be_its_own_attacker(tiny, monkeypatch):
    monkeypatch.setattr(rewriters, "OWN_WORDS", replace(rewriters.OWN_WORDS, max_new_tokens=6))
    rewriter = PAPRewriter("self")
    assert rewriter.reads_model
    assert not PAPRewriter().reads_model
    first = rewriter.rewrite(["x", "y"], model=tiny, seed=1)
    assert first == rewriter.rewrite(["x", "y"], model=tiny, seed=1)
    assert first != rewriter.rewrite(["x", "y"], model=tiny, seed=2)


def test_a_chain_is_one_after_the_other(tiny):
    a, b = Template("a", "f", "<a>{prompt}</a>"), Template("b", "f", "<b>{prompt}</b>")
    chain = ChainRewriter((TemplateRewriter((a,)), TemplateRewriter((b,))))
    assert chain.rewrite(["x", CHAT], model=tiny, seed=0) == ["<b><a>x</a></b>", "<b><a>tell me</a></b>"]
    assert chain.name == "templates(1) → templates(1)"
    assert not chain.reads_model
    assert ChainRewriter((PAPRewriter(), PAPRewriter("self"))).reads_model
    with pytest.raises(InputError, match="no rewriters"):
        ChainRewriter(())


def test_static_rewrites_are_written_once_and_kept(tiny):
    endpoint = Endpoint([f"text {i}" for i in range(3)])
    prompts = ["a", "b", "a", CHAT]
    fixed = StaticRewriter.written_by(attacked_by(endpoint), prompts, model=tiny, seed=0, batch=2)
    assert len(endpoint.prompts) == 3
    assert len(endpoint.seeds) == 2
    for seed in (0, 1):
        assert fixed.rewrite([CHAT, "a", "b"], model=tiny, seed=seed) == ["text 2", "text 0", "text 1"]
    with pytest.raises(InputError, match="'c' was not written beforehand"):
        fixed.rewrite(["c"], model=tiny, seed=0)
    assert isinstance(fixed, Rewriter)


@pytest.mark.parametrize(
    ("text", "plain"),
    [('"a"', "a"), (" ‘a “b”’ ", "a “b”"), ("'\"a\"'", "a"), ('"a" and "b', '"a" and "b'), ('"', '"'), ("a", "a")],
)
def test_quotation_marks_around_the_whole_are_dropped(text, plain):
    assert unquoted(text) == plain
