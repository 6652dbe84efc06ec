"""Templates: every behaviour in every frame, and subsets that a seed fixes."""

import pytest

from trued.data.prompts import templates
from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.templates import Templates

BEHAVIORS = [Behavior("a", "say {this}"), Behavior("b", "say that")]


def test_all_templates_wrap_every_behavior(tiny):
    cases = Templates().run(BEHAVIORS, ChatTarget(tiny), seed=0)
    assert [(c.behavior_id, c.meta["variant"]) for c in cases] == [(b.id, t.id) for b in BEHAVIORS for t in templates()]
    for case, frame in zip(cases, templates() * 2, strict=True):
        (turn,) = case.messages
        request = {"a": "say {this}", "b": "say that"}[case.behavior_id]
        start, end = frame.text.split("{prompt}")
        assert turn == {"role": "user", "content": start + request + end}


def test_a_subset_is_fixed_by_the_seed_and_the_same_for_all_behaviors(tiny):
    def drawn(seed, **options):
        cases = Templates(count=5).run(BEHAVIORS, ChatTarget(tiny), seed=seed, **options)
        return [[c.meta["variant"] for c in cases if c.behavior_id == b.id] for b in BEHAVIORS]

    first, second = drawn(0)
    assert first == second
    assert len(set(first)) == 5
    assert drawn(0) == [first, second]
    assert len({tuple(drawn(seed)[0]) for seed in range(5)}) > 1
    assert drawn(0, budget=2)[0] == first[:2]


@pytest.mark.parametrize("count", [0, 10_000])
def test_more_templates_than_there_are(tiny, count):
    with pytest.raises(InputError, match=f"count is {count}; there are"):
        Templates(count=count).run(BEHAVIORS, ChatTarget(tiny), seed=0)
