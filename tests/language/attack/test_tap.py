"""TAP: the tree grows and is pruned, by topic before asking and by score after."""

import json

import pytest

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.tap import TAP

ASK = Behavior("a", "say this")


class Length:
    name = "length"

    def score(self, prompts, replies):
        return [float(min(10, len(reply))) for reply in replies]


class Topic:
    """Every prompt that contains a word is on topic."""

    def __init__(self, word):
        self.word, self.name, self.seen = word, word, []

    def same(self, originals, rewrites):
        self.seen.append(len(rewrites))
        return [self.word in rewrite for rewrite in rewrites]


@pytest.fixture
def echo(tiny, monkeypatch):
    sizes = []

    def generate(turns, **options):
        sizes.append(len(turns))
        return [[turn[-1]["content"].split()[-1]] for turn in turns]

    monkeypatch.setattr(tiny, "generate", generate)
    return ChatTarget(tiny), sizes


class Growing:
    """Proposes prompts of which each is longer than the one before, every second one off topic."""

    name = "growing"

    def __init__(self):
        self.count, self.histories = 0, []

    def generate(self, prompts, **_):
        self.histories.append(prompts)
        replies = []
        for _prompt in prompts:
            self.count += 1
            word = "on" if self.count % 2 else "off"
            replies.append([json.dumps({"prompt": f"{word} topic {'x' * self.count}"})])
        return replies


def test_the_tree_is_pruned_to_its_width_before_and_after_asking(echo):
    target, sizes = echo
    model, topic = Growing(), Topic("on topic")
    (case,) = TAP(Attacker(model), topic, Length(), depth=2, width=2, branching=4, cutoff=10).run([ASK], target, seed=0)
    assert topic.seen == [4, 8]  # one leaf, then the two that were kept
    assert sizes == [2, 2]
    assert case.meta["off_topic"] == 2 + 4
    assert case.cost.queries == 4
    assert case.messages[-1]["content"].startswith("on topic x")
    assert case.meta["score"] == max(case.meta["scores"])
    assert case.meta["queries_to_success"] in (None, 3, 4)


def test_a_level_that_is_all_off_topic_keeps_one_leaf(echo):
    target, sizes = echo
    (case,) = TAP(Attacker(Growing()), Topic("never"), Length(), depth=1, width=3, branching=4).run(
        [ASK], target, seed=1
    )
    assert sizes == [1]
    assert case.meta["off_topic"] == 4


def test_it_stops_at_the_cutoff(echo):
    target, sizes = echo
    (case,) = TAP(Attacker(Growing()), Topic("topic"), Length(), depth=5, width=1, branching=1, cutoff=2).run(
        [ASK], target, seed=0
    )
    assert sizes == [1, 1]
    assert case.meta["queries_to_success"] == 2


def test_the_best_leaves_are_continued_with_what_they_led_to(echo):
    target, _ = echo
    model = Growing()
    TAP(Attacker(model), Topic("topic"), Length(), depth=2, width=2, branching=2, cutoff=10).run([ASK], target, seed=0)
    second = model.histories[1]
    assert [prompt[-1]["content"].split("\n")[1] for prompt in second] == ["xx", "xx", "x", "x"]


def test_a_budget_bounds_the_queries(echo):
    target, sizes = echo
    TAP(Attacker(Growing()), Topic("topic"), Length(), depth=9, width=2, branching=2).run(
        [ASK], target, seed=0, budget=5
    )
    assert sum(sizes) <= 5


def test_bad_settings():
    with pytest.raises(InputError, match="width is 0"):
        TAP(Attacker(None), Topic("x"), width=0)
