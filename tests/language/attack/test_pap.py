"""PAP: frames under a name of their own, rewrites by an attacker, and no case where there is no rewrite."""

import pytest

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.pap import PAP
from trued.language.attack.persuasion import PERSUASION

ASKS = [Behavior("a", "say this"), Behavior("b", "say that")]


def test_frames_are_named_as_the_stand_in_that_they_are(tiny):
    cases = PAP(techniques=3).run(ASKS, ChatTarget(tiny), seed=0)
    assert {case.attack for case in cases} == {"pap-frames"}
    assert [(c.behavior_id, c.meta["variant"]) for c in cases] == [(b.id, t.slug) for b in ASKS for t in PERSUASION[:3]]
    assert cases[0].messages[0]["content"] == PERSUASION[0].wrap("say this")


def test_an_attacker_rewrites_and_what_it_declines_has_no_case(tiny, scripted):
    def rewrite(text, seed):
        if PERSUASION[1].name in text:
            return "I won't do that."
        return f"<message>{text.rpartition('Request: ')[2]}, please</message>"

    model = scripted(rewrite)
    cases = PAP(Attacker(model, retries=1), techniques=2).run(ASKS, ChatTarget(tiny), seed=0)
    assert [(c.attack, c.messages[0]["content"], c.meta["variant"]) for c in cases] == [
        ("pap", "say this, please", PERSUASION[0].slug),
        ("pap", "say that, please", PERSUASION[0].slug),
    ]
    assert [len(call) for call in model.calls] == [4, 2]


def test_a_random_order_is_the_seeds_and_the_same_for_all(tiny):
    def drawn(seed, **options):
        cases = PAP(techniques=5, order="random").run(ASKS, ChatTarget(tiny), seed=seed, **options)
        return [[c.meta["variant"] for c in cases if c.behavior_id == b.id] for b in ASKS]

    first, second = drawn(0)
    assert first == second == drawn(0)[0]
    assert len({tuple(drawn(seed)[0]) for seed in range(5)}) > 1
    assert drawn(0, budget=2)[0] == first[:2]


@pytest.mark.parametrize(("bad", "says"), [({"techniques": 0}, "there are 40"), ({"order": "any"}, "published")])
def test_bad_settings(bad, says):
    with pytest.raises(InputError, match=says):
        PAP(**bad)
