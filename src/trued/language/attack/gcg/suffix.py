"""Where an optimised string sits in a chat prompt, which tokens it may use, and whether it survives as text.

An optimiser moves token ids, a model is attacked with text. This file keeps the two honest: the prompt is split at a
slot and each part tokenised on its own, and a string counts only if the message with its text in it gives its ids back.

Knows chat templates and tokenizers. Knows nothing of losses or search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from trued.data.messages import Message, Prompt, as_messages
from trued.errors import InputError
from trued.language.engine.model import LanguageModel

SLOT = "{optim_str}"
"""Marks the place of the optimised string in a message."""


def with_slot(prompt: Prompt) -> list[Message]:
    """Return the conversation with one slot: where `prompt` has it, or else at the end of its last user turn.

    Raises:
        InputError: more than one slot, or no user turn to append it to.
    """
    messages = as_messages(prompt)
    slots = sum(message["content"].count(SLOT) for message in messages)
    if slots > 1:
        raise InputError(f"the prompt has {slots} slots {SLOT}; the suffix goes to one place: leave one of them")
    if slots == 0:
        users = [message for message in messages if message["role"] == "user"]
        if not users:
            raise InputError(
                f"the prompt has no user turn to append a suffix to; add one, or write {SLOT} where it goes"
            )
        users[-1]["content"] += SLOT
    return messages


def fill(messages: Sequence[Message], suffix: str) -> list[Message]:
    """Return the conversation with `suffix` in the slot."""
    return [{**message, "content": message["content"].replace(SLOT, suffix)} for message in messages]


@dataclass(frozen=True)
class SlottedPrompt:
    """A conversation with a slot, rendered for one model and open for the reply.

    Args:
        model: the model that reads it.
        messages: the conversation, the slot in one of its turns.
        texts: the rendered text before and after the slot.
        before: its token ids before the slot.
        after: its token ids after the slot.
    """

    model: LanguageModel
    messages: list[Message]
    texts: tuple[str, str]
    before: list[int]
    after: list[int]

    @classmethod
    def render(cls, model: LanguageModel, prompt: Prompt) -> SlottedPrompt:
        """Apply the model's chat format to `prompt`, which gets a slot if it has none, and cut the text at the slot.

        A chat template writes its own BOS, so the tokenizer adds one only where there is no template.

        Raises:
            InputError: several slots, no turn to put one into, or a template that drops or repeats it.
        """
        messages = with_slot(prompt)
        texts = model.format.render(messages).split(SLOT)
        if len(texts) != 2:
            raise InputError(
                f"the chat template of {model.name} shows the slot {SLOT} {len(texts) - 1} times; "
                "a suffix can be optimised only where the user's text appears exactly once"
            )
        before, after = model.format.cut_ids(texts[0], texts[1])
        return cls(model, messages, (texts[0], texts[1]), before, after)

    def strings(self, suffixes: Int[Tensor, "rows n"]) -> list[str]:
        """Return each suffix as text, nothing cleaned away."""
        return self.model.tokenizer.batch_decode(
            suffixes.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    def survivors(
        self, suffixes: Int[Tensor, "rows n"], check: Literal["suffix", "prompt"] = "prompt"
    ) -> Bool[Tensor, " rows"]:
        """Return which suffixes, decoded to text and put into the message, come back as the same ids.

        Either way the chat template has to show the text as it is: one that trims a turn drops a blank at its end.

        Args:
            suffixes: candidate ids.
            check: "suffix" encodes the suffix alone (GCG's reference implementations); "prompt" the whole message,
                which also finds tokens that merge with their neighbours across the slot.
        """
        rows, texts = suffixes.tolist(), self.strings(suffixes)
        if check == "prompt":
            same = [self.ids(text) == self.before + row + self.after for row, text in zip(rows, texts, strict=True)]
        else:
            again = self.model.tokenizer(texts, add_special_tokens=False)["input_ids"]
            same = [list(a) == b and self.shows(text) for a, b, text in zip(again, rows, texts, strict=True)]
        return torch.tensor(same, dtype=torch.bool)

    def shown(self, suffixes: Int[Tensor, "rows n"]) -> Bool[Tensor, " rows"]:
        """Return which suffixes the chat template shows as they are."""
        return torch.tensor([self.shows(text) for text in self.strings(suffixes)], dtype=torch.bool)

    def shows(self, text: str) -> bool:
        """Whether the chat template shows a suffix as it is."""
        return self.model.format.render(fill(self.messages, text)) == self.texts[0] + text + self.texts[1]

    def ids(self, text: str) -> list[int]:
        """Return the token ids of the message that is sent: the conversation with a suffix as text."""
        return self.model.prompt_ids(fill(self.messages, text))


def allowed_ids(tokenizer, rows: int, *, ascii_only: bool = True) -> Int[Tensor, " allowed"]:
    """Return the token ids that a suffix may use, in increasing order.

    Forbidden are special and added tokens, ids without a token (a vocabulary padded to a round number), tokens that
    decode to nothing, and with `ascii_only` those that are not printable ASCII: they rarely survive as text.

    Args:
        tokenizer: the model's.
        rows: rows of the embedding matrix; ids beyond it have no embedding.
        ascii_only: whether tokens must be printable ASCII.
    """
    reserved = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ids = [i for i in range(min(len(tokenizer), rows)) if i not in reserved]
    texts = tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
    usable = [i for i, text in zip(ids, texts, strict=True) if text and (not ascii_only or _plain(text))]
    return torch.tensor(usable, dtype=torch.long)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
