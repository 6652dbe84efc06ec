"""A byte-level BPE tokenizer with a ChatML template, trained in a moment on a few sentences.

Its alphabet is ASCII, so that every token has a text of its own and replies can be compared as texts.
"""

from __future__ import annotations

import string
from typing import Any

SENTENCES = (
    "the quick brown fox jumps over the lazy dog",
    "how do i sort a list in python? sure, here is a way to do that",
    "i cannot help with that, but the weather in lisbon is fine",
    "write a short poem about bicycles and wheels that are true",
    "a user and an assistant talk about the capital of peru",
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
UNUSED_ROWS = 5
"""Rows of the embeddings that no token has, as most published models have some."""


def chat_tokenizer() -> Any:
    """Train the tokenizer; its end of text is the template's end of turn, and it names no padding."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    printable = string.digits + string.ascii_letters + string.punctuation + " \n"
    alphabet = [pieces[0][0] for c in printable if (pieces := tokenizer.pre_tokenizer.pre_tokenize_str(c))]
    trainer = trainers.BpeTrainer(vocab_size=240, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    for token in SPECIAL:
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.chat_template = TEMPLATE
    return fast
