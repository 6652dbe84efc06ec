"""Transfer: the diagonal is the attack itself, equal models transfer fully, and other tokens are refused."""

import copy
from dataclasses import dataclass

import pytest

from trued.errors import InputError
from trued.language.attack.contract import Behavior, TestCase, user_turn
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.precision import in_precision
from trued.language.engine.tiny import tiny_model
from trued.language.judge.reply import PhraseJudge
from trued.language.measure.robustness import target_losses
from trued.language.measure.transfer import CLEAN, transferred_labels, transferred_losses

ATTACK = EmbeddingAttack(eps=0.2, steps=3, relative_lr=True)
PROMPTS = ["tell me", "a longer request", "third"]


def test_the_diagonal_is_the_attack_and_the_first_row_the_clean_prompt(tiny):
    models = {"float32": tiny, "int8": in_precision(tiny, "int8")}
    losses = transferred_losses(models, PROMPTS, "Sure", ATTACK, batch=2)
    assert set(losses) == {(a, b) for a in (CLEAN, *models) for b in models}
    for name, lm in models.items():
        own = target_losses(lm, PROMPTS, "Sure", ATTACK, batch=2)
        clean = target_losses(lm, PROMPTS, "Sure", EmbeddingAttack(steps=0), batch=2)
        assert losses[name, name] == pytest.approx(own, abs=1e-4)
        assert losses[CLEAN, name] == pytest.approx(clean, abs=1e-4)
    for source, victim in (("int8", "float32"), ("float32", "int8")):
        assert sum(losses[source, victim]) < sum(losses[CLEAN, victim])


def test_equal_models_transfer_fully_and_unequal_ones_do_not(tiny):
    losses = transferred_losses({"a": tiny, "b": copy.deepcopy(tiny), "c": tiny_model(seed=1)}, PROMPTS, "Sure", ATTACK)
    assert losses["a", "b"] == pytest.approx(losses["b", "b"], abs=1e-5)
    assert sum(losses["a", "c"]) > sum(losses["c", "c"]) + 0.1


def test_labels_of_found_strings(tiny):
    @dataclass(frozen=True)
    class Named:
        """Finds the name of the model that it attacks."""

        name = "named"

        def run(self, behaviors, target, *, seed, budget=None):
            text = f"{target.model.name} {seed}"
            return [TestCase(b.id, user_turn(text), attack=self.name) for b in behaviors]

    calls = []

    class Judge:
        name = "judge"

        def label(self, prompts, replies):
            calls.append((list(prompts), list(replies)))
            return PhraseJudge().label(prompts, replies)

    other = tiny_model(seed=1)
    other.name = "other"
    labels = transferred_labels(
        {"a": tiny, "b": other}, [Behavior("x", "the request")], Named(), Judge(), seed=5, max_new_tokens=4
    )
    assert set(labels) == {("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")}
    expected = [
        lm.generate([f"{source} 5"], max_new_tokens=4)[0] for source in (tiny.name, "other") for lm in (tiny, other)
    ]
    assert calls == [(["the request"], replies) for replies in expected]


def test_what_cannot_be_compared(tiny):
    plain = tiny_model()
    plain.format = type(plain.format)(plain.tokenizer, "none")
    with pytest.raises(InputError, match="b encodes the prompts to other tokens"):
        transferred_losses({"a": tiny, "b": plain}, PROMPTS, "Sure", ATTACK)
    with pytest.raises(InputError, match="0 models"):
        transferred_losses({}, PROMPTS, "Sure", ATTACK)
