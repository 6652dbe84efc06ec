"""The shipped prompt sets: their sizes, their splits, and that no split leaks into another."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from trued.data import prompts as data
from trued.data.prompts import prompts, templates
from trued.errors import InputError

SIZES = {
    "harmful": {"train": 78, "validation": 26, "test": 104},
    "lookalikes": {"train": 60, "validation": 24, "test": 60},
    "general": {"train": 48, "validation": 16, "test": 56},
}


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("kind", data.KINDS)
def test_sizes_of_the_fixed_splits(kind):
    assert Counter(row.split for row in prompts(kind)) == SIZES[kind]
    for split, size in SIZES[kind].items():
        rows = prompts(kind, split)
        assert len(rows) == size
        assert {row.split for row in rows} == {split}


@pytest.mark.parametrize(("kind", "categories"), [("harmful", 13), ("lookalikes", 12), ("general", 8)])
def test_every_split_holds_every_category_equally_often(kind, categories):
    for split in data.SPLITS:
        counts = Counter(row.category for row in prompts(kind, split))
        assert len(counts) == categories
        assert len(set(counts.values())) == 1


def test_ids_and_texts_are_unique_over_all_sets():
    rows = [row for kind in data.KINDS for row in prompts(kind)]
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.prompt.casefold() for row in rows}) == len(rows)


def test_no_two_prompts_are_near_duplicates():
    texts = [(row.id, words(row.prompt)) for kind in data.KINDS for row in prompts(kind)]
    assert [(a, b) for (a, x), (b, y) in combinations(texts, 2) if overlap(x, y) >= 0.8] == []


@pytest.mark.parametrize("kind", ["harmful", "lookalikes"])
def test_requests_are_one_sentence(kind):
    for row in prompts(kind):
        assert row.prompt[0].isupper()
        assert row.prompt[-1] in ".?"
        assert not re.search(r"[.?!]\s", row.prompt), row.prompt
        assert row.reply is None


def test_general_requests_have_replies_of_thirty_to_eighty_words():
    for row in prompts("general"):
        assert row.reply is not None
        assert 30 <= len(row.reply.split()) <= 80, row.id


def test_templates_have_one_slot_and_keep_the_prompt_as_it_is():
    shipped = templates()
    assert len(shipped) == 20
    assert len({template.text for template in shipped}) == 20
    assert len({template.family for template in shipped}) >= 10
    prompt = "What does {prompt} and {0} mean in {}?"
    for template in shipped:
        before, after = template.text.split("{prompt}")
        assert template.wrap(prompt) == before + prompt + after


def test_a_template_without_a_slot_is_refused():
    with pytest.raises(InputError, match=r"template t has 0 slots"):
        data.Template("t", "none", "no slot")


def test_adversarial_rows_spread_the_safe_replies():
    rows = data.adversarial_rows("train")
    assert [row.prompt for row in rows] == [row.prompt for row in prompts("harmful", "train")]
    assert {row.safe_reply for row in rows} == set(data.safe_replies())
    assert all(row.targets == tuple(data.affirmative_targets()) for row in rows)


def test_safe_replies_are_short_and_targets_few():
    assert len(data.safe_replies()) == 12
    assert all(len(reply.split()) <= 30 for reply in data.safe_replies())
    assert len(data.affirmative_targets()) == 8


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown prompt set 'lookalike': .*lookalikes"):
        prompts("lookalike")
    with pytest.raises(InputError, match=r"unknown split 'dev': choose one of train, validation, test"):
        prompts("harmful", "dev")
