"""The slot, the tokens that may fill it, and which of them survive as text."""

import pytest
import torch

from trued.errors import InputError
from trued.language.attack.gcg.suffix import SLOT, SlottedPrompt, allowed_ids, fill, with_slot
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
