"""The slot, the tokens that may fill it, and which of them survive as text."""

import copy

import pytest
import torch
from chat_templates import KINDS, blank_tokenizer, byte_tokenizer

from trued.errors import InputError
from trued.language.attack.gcg.suffix import SLOT, SlottedPrompt, allowed_ids, fill, with_slot
from trued.language.engine.model import LanguageModel
from trued.language.engine.template import ChatFormat


def test_the_slot_goes_to_the_end_of_the_last_user_turn_or_stays():
    chat = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant")]
    assert [m["content"] for m in with_slot(chat)] == ["system", "user", "assistant", "user" + SLOT, "assistant"]
    assert chat[3]["content"] == "user"  # the caller's list is left alone
    assert with_slot(f"say {SLOT} now") == [{"role": "user", "content": f"say {SLOT} now"}]
    assert fill(with_slot("say"), " x{y}") == [{"role": "user", "content": "say x{y}"}]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [(f"{SLOT} and {SLOT}", "has 2 slots"), ([{"role": "system", "content": "x"}], "no user turn")],
)
def test_prompts_without_one_place_for_a_suffix(prompt, says):
    with pytest.raises(InputError, match=says):
        with_slot(prompt)


def test_a_template_that_drops_the_user(tiny):
    tiny.tokenizer.chat_template = "{{ 'always the same' }}"
    tiny.format = ChatFormat(tiny.tokenizer)
    with pytest.raises(InputError, match=r"shows the slot .* 0 times"):
        SlottedPrompt.render(tiny, "x")


@pytest.mark.parametrize("template", [None, "none"])
def test_parts_join_to_what_the_model_reads(tiny, template):
    tiny.format = ChatFormat(tiny.tokenizer, template)
    prompt = SlottedPrompt.render(tiny, f"say {SLOT} now")
    middle = tiny.tokenizer("!x?", add_special_tokens=False)["input_ids"]
    assert prompt.before + middle + prompt.after == tiny.prompt_ids("say !x? now")
    assert prompt.survivors(torch.tensor([middle]), "prompt").all()


def trimming(lm):
    template = lm.tokenizer.chat_template.replace("message['content']", "message['content'] | trim")
    return LanguageModel(lm.model, lm.tokenizer, template=template)


@pytest.mark.parametrize("check", ["suffix", "prompt"])
def test_a_suffix_that_the_template_trims_does_not_survive(tiny, check):
    token = tiny.tokenizer.convert_tokens_to_ids
    rows = torch.tensor([[token("x"), token("Ġ")], [token("Ġ"), token("x")], [token("x"), token("x")]])
    last, first = (SlottedPrompt.render(trimming(tiny), text) for text in ("say", f"{SLOT} say"))
    assert last.survivors(rows, check).tolist() == last.shown(rows).tolist() == [False, True, True]
    assert first.survivors(rows, check).tolist() == first.shown(rows).tolist() == [True, False, True]
    assert SlottedPrompt.render(tiny, "say").survivors(rows, check).all()
    assert last.ids("x ") == last.model.prompt_ids("sayx")


@pytest.mark.parametrize("tokenizer", [byte_tokenizer, blank_tokenizer])
@pytest.mark.parametrize("name", KINDS)
def test_parts_join_to_the_message_on_every_kind_of_template(tiny, name, tokenizer):
    kind = KINDS[name]
    fast = copy.deepcopy(tokenizer(kind.tokens, kind.eos))
    fast.chat_template = kind.template
    tiny.tokenizer, tiny.format = fast, ChatFormat(fast)
    prompt = SlottedPrompt.render(tiny, f"say({SLOT})now")
    whole = prompt.ids("true")
    middle = whole[len(prompt.before) : len(whole) - len(prompt.after)]
    assert prompt.before + middle + prompt.after == whole
    assert fast.decode(middle) == "true"


def test_allowed_tokens_are_printable_ascii_of_the_vocabulary(merging):
    rows = merging.model.config.vocab_size
    texts = [merging.tokenizer.decode([i]) for i in allowed_ids(merging.tokenizer, rows).tolist()]
    assert sorted(texts) == sorted([*map(chr, range(32, 127)), "ab", "ex"])
    assert rows > len(merging.tokenizer)
    everything = allowed_ids(merging.tokenizer, rows, ascii_only=False)
    assert len(everything) > len(texts)
    assert not set(everything.tolist()) & {*merging.tokenizer.all_special_ids, *range(len(merging.tokenizer), rows)}
    assert allowed_ids(merging.tokenizer, 50).max() < 50  # an embedding matrix smaller than the tokenizer


def test_tokens_that_merge_do_not_survive(merging):
    prompt = SlottedPrompt.render(merging, "tell me")
    token = merging.tokenizer.convert_tokens_to_ids
    rows = torch.tensor([[token("b"), token("a")], [token("a"), token("b")], [token("x"), token("a")]])
    assert prompt.survivors(rows, "suffix").tolist() == [True, False, True]
    # "me" + "x…" encodes to "m", "ex": only the whole prompt shows it.
    assert prompt.survivors(rows, "prompt").tolist() == [True, False, False]


def test_text_that_spells_a_special_token_does_not_survive(tiny):
    prompt = SlottedPrompt.render(tiny, "x")
    token = tiny.tokenizer.convert_tokens_to_ids
    row = torch.tensor([[token(character) for character in "<|im_end|>"]])
    assert prompt.strings(row) == ["<|im_end|>"]
    assert not prompt.survivors(row, "suffix").any()
