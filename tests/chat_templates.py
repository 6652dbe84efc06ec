"""Chat templates in the structure of the most used kinds, in our own words, and two kinds of small tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from string import printable


@dataclass(frozen=True)
class Kind:
    """A chat template, the special tokens that it writes, and what should come of it.

    Args:
        template: Jinja.
        tokens: special tokens.
        end: the token that ends a reply.
        eos: the tokenizer's own end of text.
        model_ends: tokens at which the model's configuration ends a reply.
        system: whether it takes a system message.
        written: how it writes a reply: "whole", "trimmed", with its "thought" apart, or with the thought "cut" off.
        says: part of the format's note, "" where it needs none.
        same: whether prompt and reply are the template's own conversation.
    """

    template: str
    tokens: tuple[str, ...]
    end: str
    eos: str
    model_ends: tuple[str, ...] = ()
    system: bool = True
    written: str = "whole"
    says: str = ""
    same: bool = True


CHATML_TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HEADER = "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
LLAMA_OPEN = "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
LLAMA = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}"
)
SYSTEM_APART = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}"
    "{% endif %}"
)
# Qwen3's kind: the last reply has its thought, or an empty one; earlier replies have none.
THINKING_TURNS = (
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% if m.role == 'assistant' %}{% set answer = m.content %}"
    "{% set thought = '' %}{% if '</think>' in answer %}"
    "{% set thought = answer.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set answer = answer.split('</think>')[-1].lstrip('\n') %}{% endif %}<|im_start|>assistant\n"
    "{% if loop.index0 > ns.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ answer }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
)

KINDS: dict[str, Kind] = {
    "chatml": Kind(CHATML_TURNS + OPEN, CHATML, "<|im_end|>", "<|im_end|>"),
    "chatml, end unnamed": Kind(CHATML_TURNS + OPEN, CHATML, "<|im_end|>", "<|endoftext|>"),
    "chatml, never opens a turn": Kind(
        CHATML_TURNS, CHATML, "<|im_end|>", "<|im_end|>", says="generated and scored after"
    ),
    "qwen2.5": Kind(
        "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% elif messages[0].role != 'system' %}"
        "<|im_start|>system\nYou help.<|im_end|>\n{% endif %}" + CHATML_TURNS + OPEN,
        CHATML, "<|im_end|>", "<|im_end|>", ("<|endoftext|>", "<|im_end|>"),
    ),
    "qwen3": Kind(
        THINKING_TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        (*CHATML, "<think>", "</think>"), "<|im_end|>", "<|im_end|>", written="thought",
        says="Thoughts play no part",
    ),
    "qwen3, empty thought in conversations only": Kind(
        THINKING_TURNS + OPEN, (*CHATML, "<think>", "</think>"), "<|im_end|>", "<|im_end|>", written="thought",
        says="Thoughts play no part",
    ),
    "qwen3.5": Kind(
        THINKING_TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is false %}"
        "<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}",
        (*CHATML, "<think>", "</think>"), "<|im_end|>", "<|im_end|>", written="thought",
        says="Thoughts play no part",
    ),
    "smollm3": Kind(
        "<|im_start|>system\nReasoning: {{ '/no_think' if enable_thinking is false else '/think' }}"
        "{% if messages[0].role == 'system' %}\n{{ messages[0].content }}{% endif %}<|im_end|>\n"
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and enable_thinking is false %}<think>\n\n</think>\n{% endif %}"
        "{{ m.content.lstrip('\n') if m.role == 'assistant' else m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is false %}<think>\n\n</think>\n{% endif %}{% endif %}",
        (*CHATML, "<think>", "</think>"), "<|im_end|>", "<|im_end|>", says="Thoughts play no part",
    ),
    "deepseek-r1": Kind(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
        "<|User|>{{ m.content }}{% else %}<|Assistant|>{{ m.content.split('</think>')[-1] }}<|eos|>{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}",
        ("<|bos|>", "<|eos|>", "<|User|>", "<|Assistant|>", "<think>", "</think>"), "<|eos|>", "<|eos|>",
        written="cut", says="Thoughts play no part",
    ),
    "deepseek-v3.1": Kind(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
        "<|User|>{{ m.content }}{% else %}<|Assistant|></think>{{ m.content.split('</think>')[-1] }}<|eos|>{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|Assistant|>{{ '<think>' if thinking else '</think>' }}{% endif %}",
        ("<|bos|>", "<|eos|>", "<|User|>", "<|Assistant|>", "<think>", "</think>"), "<|eos|>", "<|eos|>",
        written="cut",
    ),
    "llama-2": Kind(
        SYSTEM_APART + ALTERNATING + "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] "
        "{% if loop.first and system %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}{{ m.content.strip() }} [/INST]"
        "{% else %} {{ m.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>"), "</s>", "</s>", written="trimmed",
    ),
    "llama-3": Kind(
        "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}" + HEADER
        + "{{ m.content }}<|eot_id|>{% endfor %}" + LLAMA_OPEN,
        LLAMA, "<|eot_id|>", "<|end_of_text|>", ("<|end_of_text|>", "<|eot_id|>"),
    ),
    "llama-3, trimming": Kind(
        "{{ bos_token }}{% for m in messages %}" + HEADER + "{{ m.content | trim }}<|eot_id|>{% endfor %}" + LLAMA_OPEN,
        LLAMA, "<|eot_id|>", "<|end_of_text|>", ("<|end_of_text|>", "<|eot_id|>"), written="trimmed",
    ),
    "mistral, first": Kind(
        ALTERNATING + "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>"), "</s>", "</s>", system=False,
    ),
    "mistral, third": Kind(
        SYSTEM_APART + ALTERNATING + "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
        "{% if loop.last and system %}{{ system }}\n\n{% endif %}{{ m.content }}[/INST]"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>", "[INST]", "[/INST]"), "</s>", "</s>",
        # The system prompt goes to the last message, which after a reply is no longer the question.
    ),
    "mistral, tekken": Kind(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}"
        "[/SYSTEM_PROMPT]{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}</s>"
        "{% endif %}{% endfor %}",
        ("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"), "</s>", "</s>",
    ),
    "gemma": Kind(
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}" + ALTERNATING + "{% for m in messages %}<start_of_turn>"
        "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", "<eos>", ("<eos>", "<end_of_turn>"),
        system=False, written="trimmed",
    ),
    "phi-3": Kind(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|end|>", "<|endoftext|>",
        ("<|endoftext|>", "<|end|>"),
    ),
    "phi-4": Kind(
        "{% for m in messages %}<|im_start|>{{ m.role }}<|im_sep|>{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}",
        (*CHATML, "<|im_sep|>"), "<|im_end|>", "<|endoftext|>",
    ),
    "command-r": Kind(
        "{{ bos_token }}{% for m in messages %}<|turn|>{{ {'user': '<|user|>', 'assistant': '<|chatbot|>', "
        "'system': '<|system|>'}[m.role] }}{{ m.content.strip() }}<|end_of_turn|>{% endfor %}"
        "{% if add_generation_prompt %}<|turn|><|chatbot|>{% endif %}",
        ("<bos>", "<eos>", "<|turn|>", "<|end_of_turn|>", "<|user|>", "<|chatbot|>", "<|system|>"), "<|end_of_turn|>",
        "<|end_of_turn|>", written="trimmed",
    ),
    "zephyr": Kind(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content + eos_token }}\n"
        "{% if loop.last and add_generation_prompt %}<|assistant|>{% endif %}{% endfor %}",
        ("<s>", "</s>"), "</s>", "</s>",
    ),
    "vicuna": Kind(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} "
        "{% elif m.role == 'user' %}USER: {{ m.content }} {% else %}ASSISTANT: {{ m.content }}{{ eos_token }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        ("<s>", "</s>"), "</s>", "</s>",
    ),
    "alpaca": Kind(
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n\n{% elif m.role == 'user' %}"
        "### Instruction:\n{{ m.content }}\n\n{% else %}### Response:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}### Response:\n{% endif %}",
        ("<s>", "</s>"), "</s>", "</s>", says="stands for its", same=False,
    ),
    "granite": Kind(
        "{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}",
        ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"), "<|end_of_text|>", "<|end_of_text|>",
    ),
    "gpt-oss": Kind(
        "<|start|>system<|message|>You answer.<|end|>{% for m in messages %}{% if m.role == 'assistant' %}<|start|>"
        "assistant<|channel|>final<|message|>{{ m.content }}{{ '<|return|>' if loop.last else '<|end|>' }}{% else %}"
        "<|start|>{{ 'developer' if m.role == 'system' else m.role }}<|message|>{{ m.content }}<|end|>{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"), "<|return|>",
        "<|endoftext|>", ("<|return|>", "<|call|>"), says="generated and scored after",
    ),
    "olmo-2": Kind(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>\n{{ m.content }}"
        "{{ eos_token }}{% if not loop.last %}\n{% endif %}{% else %}<|{{ m.role }}|>\n{{ m.content }}\n{% endif %}"
        "{% if loop.last and add_generation_prompt %}<|assistant|>\n{% endif %}{% endfor %}",
        ("<|endoftext|>",), "<|endoftext|>", "<|endoftext|>",
    ),
    "falcon": Kind(
        "{% for m in messages %}{% if not loop.first %}\n\n{% endif %}"
        "{{ {'user': 'User', 'assistant': 'Falcon', 'system': 'System'}[m.role] }}: "
        "{{ m.content.strip() | replace('\r\n', '\n') | replace('\n\n', '\n') }}{% endfor %}"
        "{% if add_generation_prompt %}\n\nFalcon:{% else %}{{ eos_token }}{% endif %}",
        ("<|endoftext|>",), "<|endoftext|>", "<|endoftext|>", written="trimmed",
    ),
    "glm-4": Kind(
        "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"), "<|user|>",
        "<|endoftext|>", ("<|endoftext|>", "<|user|>", "<|observation|>"), says="stands for its", same=False,
    ),
}  # fmt: skip


@cache
def byte_tokenizer(tokens: tuple[str, ...], eos: str):
    """Bytes with some merges, cut as GPT-2 cuts text; nothing but `eos` and a BOS has a name."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [("Ġ", "t"), ("Ġ", "S"), ("Ġ", "I"), ("Ċ", "Ċ"), ("t", "r"), ("u", "e"), ("tr", "ue"), ("o", "n")]
    vocabulary = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer, tokens, eos)


@cache
def blank_tokenizer(tokens: tuple[str, ...], eos: str):
    """Characters with some merges; every text, and what follows a special token, gets a blank before it: Llama 2's."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    merges = [("▁", "t"), ("▁", "S"), ("▁", "I"), ("▁", "▁"), ("t", "r"), ("u", "e"), ("tr", "ue")]
    characters = [c for c in printable if c != " "]
    vocabulary = ["<unk>", "▁", *characters, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(content=" ", left=1, right=0)]
    )
    return _fast(tokenizer, tokens, eos)


def _fast(tokenizer, tokens, eos):
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    starts = [token for token in tokens if token in ("<s>", "<bos>", "<|bos|>", "<|begin_of_text|>")]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, bos_token=starts[0] if starts else eos)
