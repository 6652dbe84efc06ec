"""The attacker: one batched call a round, only what cannot be read is asked again, and seeds decide."""

import pytest

from trued.errors import InputError
from trued.language.attack.attacker import Attacker


def test_only_unreadable_replies_are_asked_again(scripted):
    model = scripted(lambda text, seed: f"{text} ok" if seed >= 7 + int(text) else "?")
    read = lambda reply: reply if reply.endswith("ok") else None  # noqa: E731
    values, unreadable = Attacker(model, retries=5).write_until(["0", "2", "9"], read, seed=7)
    assert values == ["0 ok", "2 ok", None]
    assert model.calls == [["0", "2", "9"], ["2", "9"], ["2", "9"], ["9"], ["9"], ["9"]]
    assert unreadable == 2 + 6


def test_greedy_replies_are_not_asked_again(scripted):
    model = scripted(lambda text, seed: f"{seed}")
    values, _ = Attacker(model, temperature=0.0).write_until(["a"], lambda _: None, seed=1)
    assert (values, len(model.calls)) == ([None], 1)
    assert Attacker(model, temperature=0.0).write(["a"], seed=1) == ["None"]


def test_a_local_model_is_sampled_by_the_seed(tiny):
    attacker = Attacker(tiny, max_new_tokens=8, top_p=1.0)
    first, second = (attacker.write(["hello"], seed=seed) for seed in (0, 1))
    assert attacker.write(["hello"], seed=0) == first != second
    assert attacker.write([], seed=0) == []


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_new_tokens": 0}, {"retries": -1}])
def test_bad_settings(bad):
    with pytest.raises(InputError, match="top_p"):
        Attacker(None, **bad)


def test_what_an_attacker_thinks_is_no_part_of_what_it_writes(scripted):
    model = scripted(lambda text, seed: f"<think>{text}</think>\nread me" if seed else f"<think>{text}")
    assert Attacker(model).write(["x"], seed=1) == ["read me"]
    assert Attacker(model).write(["x"], seed=0) == [""]
    values, unreadable = Attacker(model, retries=2).write_until(["x"], lambda reply: reply or None, seed=0)
    assert (values, unreadable) == (["read me"], 1)
