"""What a model knows: shares of samples, a cache that changes nothing, and balance within every relation."""

import json
from collections import Counter

import pytest
import torch

from trued.data.facts import FactQuestion
from trued.errors import InputError
from trued.language.engine.tiny import tiny_model
from trued.language.measure.honesty.asking import HonestyTemplates
from trued.language.measure.honesty.knowledge import Known, balanced, estimate_knowledge, weights_digest
from trued.language.measure.honesty.scores import Judged


def question(name, relation="r", answers=("kite",)):
    return FactQuestion(name, f"What about {name}?", answers, relation)


def known(name, relation, right, samples=4):
    judged = Judged("correct" if right else "wrong", right)
    return Known(question(name, relation), "a", ("a",) * samples, judged, (judged,) * samples)


@pytest.fixture
def questions():
    return [question(f"thing {i}") for i in range(5)]


def test_accuracy_is_the_share_of_correct_samples_and_known_is_the_greedy_answers_matter(tiny, questions, monkeypatch):
    calls = []

    def generate(prompts, *, n=1, temperature=0.0, generator=None, **options):
        calls.append((n, temperature))
        assert options["stop"] == ("\n",)
        assert all(p == HonestyTemplates().ask(q.question) for p, q in zip(prompts, questions, strict=True))
        if n == 1:
            return [["Z is it\nQ: more kite"]] * len(prompts)
        return [["Kite.", "kites", "I don't know about a kite", "the KITE"]] * len(prompts)

    monkeypatch.setattr(tiny, "generate", generate)
    table = estimate_knowledge(tiny, questions, m=4, word_boundary=True)
    assert calls == [(1, 0.0), (4, 1.0)]
    for row in table:
        assert row.accuracy == 0.5
        assert row.correct_samples == ["Kite.", "the KITE"]
        assert not row.known
        assert row.greedy == "Z is it"
        assert row.samples_are[2] == Judged("idk", True)
    assert [row.question for row in table] == questions


def test_the_greedy_answer_and_the_samples_are_the_models_own(tiny, questions):
    table = estimate_knowledge(tiny, questions, m=6, max_new_tokens=4)
    (reply,) = tiny.generate([HonestyTemplates().ask(questions[2].question)], max_new_tokens=4, stop=("\n",))[0]
    assert table[2].greedy == reply.strip().partition("\n")[0].strip()
    assert all(len(row.samples) == 6 for row in table)
    assert any(len(set(row.samples)) > 1 for row in table)


def test_the_cache_spares_the_model_and_changes_nothing(tiny, questions, tmp_path, monkeypatch):
    monkeypatch.setattr("trued.language.measure.honesty.knowledge.CHUNK", 2)
    file = tmp_path / "deep" / "known.jsonl"
    settings = {"m": 3, "max_new_tokens": 3, "seed": 1}
    fresh = estimate_knowledge(tiny, questions, **settings)
    done = []
    assert estimate_knowledge(tiny, questions, **settings, cache=file, progress=done.append) == fresh
    assert done == [2, 4, 5]
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:1]))  # as if it had been cut off
    calls = Counter()
    generate = tiny.generate
    monkeypatch.setattr(
        tiny, "generate", lambda prompts, **o: calls.update(asked=len(prompts)) or generate(prompts, **o)
    )
    assert estimate_knowledge(tiny, questions, **settings, cache=file) == fresh
    assert calls["asked"] == 2 * 3  # greedy and sampled, of the three that were missing
    assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == [json.loads(x)["key"] for x in lines]
    assert estimate_knowledge(tiny, questions, m=3, max_new_tokens=3, seed=2, cache=file) != fresh
    assert len(file.read_text().splitlines()) == 6


def test_cached_texts_are_judged_anew(tiny, questions, tmp_path):
    settings = {"m": 2, "max_new_tokens": 4, "cache": tmp_path / "known.jsonl"}
    first = estimate_knowledge(tiny, questions, **settings)
    renamed = [FactQuestion(q.id, q.question, (row.greedy or "?x",)) for q, row in zip(questions, first, strict=True)]
    again = estimate_knowledge(tiny, renamed, **settings)
    assert [row.greedy for row in again] == [row.greedy for row in first]
    assert any(row.known for row in again)


def test_a_digest_is_of_the_weights():
    lm = tiny_model()
    assert weights_digest(lm) == weights_digest(tiny_model())
    assert weights_digest(lm) != weights_digest(tiny_model(1))
    before = weights_digest(lm)
    with torch.no_grad():
        next(lm.model.parameters()).view(-1)[0] += 1e-3
    assert weights_digest(lm) != before


def test_balance_is_within_every_relation():
    table = [known(f"{relation} {i}", relation, i < right) for relation, n, right in
             (("few", 10, 2), ("many", 40, 20), ("all", 5, 5), ("none", 9, 0)) for i in range(n)]  # fmt: skip
    selection = balanced(table)
    times = Counter((row.question.relation, row.known) for row in selection)
    assert times == {("few", True): 2, ("few", False): 2, ("many", True): 20, ("many", False): 20}
    assert len({row.question.id for row in selection}) == len(selection)
    fewer = Counter((row.question.relation, row.known) for row in balanced(table, 22))
    assert sum(fewer.values()) == 22
    assert fewer["few", True] == fewer["few", False] == 1
    assert fewer["many", True] == fewer["many", False] == 10
    assert balanced(table, 22) == balanced(table, 22)
    assert balanced(table, 22, seed=1) != balanced(table, 22)


def test_a_model_that_knows_nothing_cannot_be_balanced():
    with pytest.raises(InputError, match="answers 0 of 1 questions correctly"):
        balanced([known("x", "r", False)])


def test_bad_input(tiny, questions, tmp_path):
    with pytest.raises(InputError, match="comes 2 times"):
        estimate_knowledge(tiny, [*questions, questions[0]])
    with pytest.raises(InputError, match="no questions"):
        estimate_knowledge(tiny, [])
    with pytest.raises(InputError, match="m is 0"):
        estimate_knowledge(tiny, questions, m=0)
    with pytest.raises(InputError, match="temperature 0"):
        estimate_knowledge(tiny, questions, temperature=0)
    (tmp_path / "bad.jsonl").write_text("{nothing")
    with pytest.raises(InputError, match=r"bad\.jsonl holds no cached replies"):
        estimate_knowledge(tiny, questions, cache=tmp_path / "bad.jsonl")
