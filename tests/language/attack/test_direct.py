"""Direct requests are the behaviours as they stand."""

from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.direct import Direct


def test_one_case_a_behavior_in_order_in_the_users_words(tiny):
    behaviors = [Behavior("b", "first"), Behavior("a", "second", context="paper")]
    cases = Direct().run(behaviors, ChatTarget(tiny), seed=3)
    assert [(c.behavior_id, c.messages, c.prefill, c.attack) for c in cases] == [
        ("b", [{"role": "user", "content": "first"}], "", "direct"),
        ("a", [{"role": "user", "content": "paper\n\n---\n\nsecond"}], "", "direct"),
    ]
