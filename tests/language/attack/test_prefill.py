"""Prefills are the first tokens of the target, and only where a template lets a reply go on."""

import copy

import pytest
from chat_templates import KINDS, blank_tokenizer, byte_tokenizer

from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget
from trued.language.attack.prefill import Prefill
from trued.language.engine.template import ChatFormat

BEHAVIORS = [Behavior("a", "x", target="Of course"), Behavior("b", "y")]


def test_prefills_are_growing_beginnings_of_the_target(tiny):
    cases = Prefill(lengths=(3, 1, 4), target="Sure").run(BEHAVIORS, ChatTarget(tiny), seed=0)
    assert [(c.behavior_id, c.prefill, c.meta["variant"]) for c in cases] == [
        ("a", "O", "n=1"),
        ("a", "Of ", "n=3"),
        ("a", "Of c", "n=4"),
        ("b", "S", "n=1"),
        ("b", "Sur", "n=3"),
        ("b", "Sure", "n=4"),
    ]


def test_the_model_reads_exactly_the_first_tokens_of_the_target(tiny):
    target = ChatTarget(tiny)
    for n, case in enumerate(Prefill().run(BEHAVIORS[1:], target, seed=0), start=1):
        opened = tiny.prompt_ids(case.messages)
        assert tiny.prompt_ids(case.messages, prefill=case.prefill) == opened + tiny.reply_ids(Prefill().target)[:n]


@pytest.mark.parametrize("tokenizer", [byte_tokenizer, blank_tokenizer])
@pytest.mark.parametrize("name", KINDS)
def test_prefills_are_the_first_tokens_on_every_kind_of_template(tiny, name, tokenizer):
    kind = KINDS[name]
    fast = copy.deepcopy(tokenizer(kind.tokens, kind.eos))
    fast.chat_template = kind.template
    tiny.tokenizer, tiny.format = fast, ChatFormat(fast)
    for n, case in enumerate(Prefill(target="Sure, true").run(BEHAVIORS[1:], ChatTarget(tiny), seed=0), start=1):
        opened = tiny.prompt_ids(case.messages)
        if case.prefill.strip():  # a first token may be nothing but a blank
            assert tiny.prompt_ids(case.messages, prefill=case.prefill) == opened + tiny.reply_ids("Sure, true")[:n]


def test_a_budget_keeps_the_shortest(tiny):
    cases = Prefill(lengths=(5, 2, 3)).run(BEHAVIORS, ChatTarget(tiny), seed=0, budget=2)
    assert [c.meta["variant"] for c in cases] == ["n=2", "n=3"] * 2


def test_a_target_with_too_few_tokens(tiny):
    with pytest.raises(InputError, match=r"'b'.*'Sure' has 4 tokens, and a prefill of 5"):
        Prefill(lengths=(5,), target="Sure").run(BEHAVIORS, ChatTarget(tiny), seed=0)


@pytest.mark.parametrize("lengths", [(), (0, 1)])
def test_lengths_that_are_none(lengths):
    with pytest.raises(InputError, match="give one or more token counts"):
        Prefill(lengths=lengths)


def test_a_template_that_shows_no_reply(tiny):
    tiny.format = ChatFormat(tiny.tokenizer, "{{ messages[0]['content'] }} answer:")
    with pytest.raises(InputError, match="tiny-random cannot continue an assistant's turn"):
        Prefill().run(BEHAVIORS, ChatTarget(tiny), seed=0)


def test_what_a_template_puts_before_a_reply_stands_before_the_prefill(tiny):
    thinking = tiny.tokenizer.chat_template.replace(
        "{{ message['content'] }}",
        "{% if message.role == 'assistant' %}<think></think>{% endif %}{{ message.content }}",
    )
    tiny.format = ChatFormat(tiny.tokenizer, thinking)
    target = ChatTarget(tiny)
    case = Prefill(lengths=(4,), target="Sure").run(BEHAVIORS[1:], target, seed=0)[0]
    assert target.render(case.messages, case.prefill).endswith("assistant\n<think></think>Sure")
