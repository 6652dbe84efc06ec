"""Prompt and reply are the template's own conversation, for the most used kinds of chat templates and tokenizers."""

import copy

import pytest
from chat_templates import KINDS, blank_tokenizer, byte_tokenizer

from trued.errors import InputError
from trued.language.engine.template import ChatFormat

TOKENIZERS = {"bytes": byte_tokenizer, "blanks": blank_tokenizer}
USER, BACK = {"role": "user", "content": "Is it true?"}, {"role": "assistant", "content": "I trust it."}
SYSTEM = {"role": "system", "content": "Be true."}
REPLIES = ("true", "Sure, here it is.\n\nTwo lines", "I", "no")


def format_of(name, tokenizer):
    kind = KINDS[name]
    fast = copy.deepcopy(TOKENIZERS[tokenizer](kind.tokens, kind.eos))
    fast.chat_template = kind.template
    return kind, ChatFormat(fast, eos_ids=fast.convert_tokens_to_ids(list(kind.model_ends)))


def conversation(chat, messages, reply):
    """The ids of the whole conversation as transformers gives them, thoughts switched off where that can be done."""
    whole = [*messages, {"role": "assistant", "content": reply}]
    return chat.tokenizer.apply_chat_template(whole, enable_thinking=False, return_dict=False)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", KINDS)
def test_prompt_and_reply_are_the_templates_own_conversation(name, tokenizer):
    kind, chat = format_of(name, tokenizer)
    for messages in (
        [USER],
        [USER, BACK, USER],
        *([[SYSTEM, USER], [SYSTEM, USER, BACK, USER]] if kind.system else []),
    ):
        if name == "mistral, third" and SYSTEM in messages:
            continue  # it moves the system prompt to the last message, which the reply is afterwards
        for reply in REPLIES:
            if name == "falcon" and "\n\n" in reply:
                continue  # it rewrites line breaks
            whole = conversation(chat, messages, reply)
            ours = chat.prompt_ids(messages) + chat.reply_ids(reply, end=kind.same)
            assert ours == whole[: len(ours)], (chat.tokenizer.decode(ours), chat.tokenizer.decode(whole))
            rest = chat.tokenizer.decode(whole[len(ours) :], skip_special_tokens=True)
            assert not rest.strip()
    assert chat.continues_replies()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", KINDS)
def test_replies_end_and_stop_where_the_template_and_the_model_end_them(name, tokenizer):
    kind, chat = format_of(name, tokenizer)
    number = chat.tokenizer.convert_tokens_to_ids
    assert chat.end_ids[-1] == number(kind.end)
    assert chat.stop_ids == {number(token) for token in (kind.end, kind.eos, *kind.model_ends)}


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", KINDS)
def test_what_differs_is_told(name, tokenizer):
    kind, chat = format_of(name, tokenizer)
    assert (chat.difference is None) == kind.same
    assert kind.says in " ".join(chat.limits)
    assert bool(chat.limits) == bool(kind.says)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", KINDS)
def test_a_whole_reply_is_written_as_the_template_writes_it(name, tokenizer):
    kind, chat = format_of(name, tokenizer)
    if kind.written == "trimmed":
        assert chat.reply_ids(" true \n") == chat.reply_ids("true")
    elif kind.written == "thought":
        assert chat.reply_ids("<think>\nI see\n</think>\n\ntrue") == chat.reply_ids("true")
    dressed = "<think>\nI see\n</think>\n\ntrue" if kind.written == "cut" else "true \n"
    if kind.same:
        whole = conversation(chat, [USER], dressed)
        ours = chat.prompt_ids([USER]) + chat.reply_ids(dressed)
        assert ours == whole[: len(ours)]
    opening = chat.reply_ids("Sure, ", end=False)  # a beginning is not trimmed: the reply goes on
    assert chat.tokenizer.decode(opening).lstrip() == "Sure, "
    assert chat.prompt_ids([USER], prefill="Sure, ") == chat.prompt_ids([USER]) + opening
    assert chat.reply_ids("", end=False) == []


@pytest.mark.parametrize("name", ["llama-3", "gemma", "mistral, tekken", "deepseek-r1"])
def test_a_bos_that_the_template_writes_is_not_written_again_by_the_tokenizer(name):
    from tokenizers.processors import TemplateProcessing

    _, chat = format_of(name, "bytes")
    bos = chat.tokenizer.bos_token
    number = chat.tokenizer.convert_tokens_to_ids(bos)
    chat.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, number)]
    )
    assert chat.tokenizer("x")["input_ids"][0] == number
    again = ChatFormat(chat.tokenizer)
    assert again.prompt_ids([USER]).count(number) == 1
    assert number not in again.reply_ids("true")
    assert again.difference is None


def test_roles_that_a_template_refuses():
    _, chat = format_of("gemma", "bytes")
    with pytest.raises(InputError, match=r"refuses the roles \['system', 'user'\]: System role not supported"):
        chat.prompt_ids([SYSTEM, USER])
    with pytest.raises(InputError, match=r"refuses the roles \['user', 'user'\]: roles must alternate"):
        chat.prompt_ids([USER, USER])


def test_a_tokenizer_with_several_named_templates():
    fast = copy.deepcopy(byte_tokenizer(KINDS["chatml"].tokens, "<|im_end|>"))
    fast.chat_template = {"default": KINDS["chatml"].template, "thinking": KINDS["qwen3.5"].template}
    assert ChatFormat(fast).source == KINDS["chatml"].template
    assert ChatFormat(fast, "thinking").render("x").endswith("<think>\n\n</think>\n\n")
    del fast.chat_template["default"]
    fast.chat_template["plain"] = KINDS["chatml"].template
    with pytest.raises(InputError, match="has the chat templates plain, thinking and no default"):
        ChatFormat(fast)
    assert ChatFormat(fast, "plain").difference is None


def test_a_template_in_a_file_of_its_own(tmp_path):
    from transformers import AutoTokenizer

    from trued.fetch.pretrained import read_parts

    kind = KINDS["llama-3, trimming"]
    fast = copy.deepcopy(byte_tokenizer(kind.tokens, kind.eos))
    fast.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(kind.template, encoding="utf-8")
    chat = ChatFormat(read_parts(AutoTokenizer, tmp_path))
    assert chat.source == kind.template
    assert chat.tokenizer.convert_ids_to_tokens(chat.end_ids) == ["<|eot_id|>"]


def test_a_template_that_writes_a_question_otherwise_once_it_is_answered():
    kind = KINDS["chatml"]
    fast = copy.deepcopy(byte_tokenizer(kind.tokens, kind.eos))
    fast.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' and not loop.last %}(old) {% endif %}{{ m.role }}: "
        "{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    chat = ChatFormat(fast)
    assert "'user: trued que" in chat.difference
    assert "'(old) user: t'" in chat.difference
    assert chat.limits == (chat.difference,)


def test_a_template_that_shows_no_reply():
    fast = copy.deepcopy(byte_tokenizer(KINDS["chatml"].tokens, "<|im_end|>"))
    fast.chat_template = "{{ messages[0]['content'] }} answer:"
    chat = ChatFormat(fast)
    assert "shows no reply" in chat.difference
    assert not chat.continues_replies()
    assert chat.end_ids == [fast.eos_token_id]


def test_plain_text_needs_no_note():
    chat = ChatFormat(byte_tokenizer(KINDS["chatml"].tokens, "<|im_end|>"), "none", eos_ids=[5])
    assert (chat.limits, chat.end_ids[0] in chat.stop_ids, 5 in chat.stop_ids) == ((), True, True)
