"""Chats to token ids, through the tokenizer's own chat template.

Knows messages and tokens. Knows nothing of models. A prompt and a reply are tokenised apart and their ids joined, so
that the same prompt has the same tokens whatever reply follows it.
"""

from __future__ import annotations

from typing import Any

from trued.data.messages import Message, Prompt, as_messages
from trued.errors import InputError

_PROBE = "trued probe"


class ChatFormat:
    """The token ids of prompts and replies under one tokenizer's chat template.

    Args:
        tokenizer: a Hugging Face tokenizer.
        template: None for the tokenizer's own template, "none" for plain text without any, or a Jinja template.

    Raises:
        InputError: the tokenizer has no chat template and `template` is None, or `template` shows no message.
    """

    def __init__(self, tokenizer: Any, template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.plain = template == "none"
        self.template = None if template in (None, "none") else template
        if not self.plain and self.template is None and not getattr(tokenizer, "chat_template", None):
            raise InputError(
                f"the tokenizer of {getattr(tokenizer, 'name_or_path', '') or 'this model'} has no chat template: "
                "pass template='none' (--template none) for plain text, or the text of a Jinja template"
            )
        if self.template is not None and _PROBE not in self.render(_PROBE):
            raise InputError(
                "the chat template that was given does not show the message, so every prompt would be the same: give a "
                "Jinja template that uses 'messages'"
            )
        self.end_ids = self._end_ids()
        self.stop_ids = frozenset(self._stop_ids())

    def render(self, prompt: Prompt) -> str:
        """Return the prompt as text, with the assistant's turn opened."""
        messages = as_messages(prompt)
        if self.plain:
            return "\n\n".join(m["content"] for m in messages) + "\n\n"
        return self._apply(messages, add_generation_prompt=True)

    def prompt_ids(self, prompt: Prompt, *, prefill: str = "") -> list[int]:
        """Token ids of the prompt, the assistant's turn opened and begun with `prefill`."""
        ids = self._encode(self.render(prompt), special=self.plain)
        return ids + self._encode(prefill) if prefill else ids

    def reply_ids(self, text: str, *, end: bool = True) -> list[int]:
        """Token ids of an assistant's reply; with `end`, the end of turn too, so that it is learned."""
        return self._encode(text) + (self.end_ids if end else [])

    def continues_replies(self) -> bool:
        """Whether the template opens the assistant's turn such that a reply's text can simply follow."""
        if self.plain:
            return True
        whole = self._apply([*as_messages("question"), {"role": "assistant", "content": _PROBE}])
        return whole.startswith(self.render("question") + _PROBE)

    def _apply(self, messages: list[Message], **options: Any) -> str:
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, chat_template=self.template, **options)
        except Exception as error:  # a template raises whatever its author chose
            roles = [m["role"] for m in messages]
            raise InputError(f"the chat template refuses the roles {roles}: {error}") from error
        return str(text)

    def _encode(self, text: str, *, special: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _end_ids(self) -> list[int]:
        """What the template writes after a reply, up to its first special token; else the end of text."""
        eos = self.tokenizer.eos_token_id
        if not self.plain:
            try:
                whole = self._apply([*as_messages("question"), {"role": "assistant", "content": _PROBE}])
            except InputError:
                whole = ""
            tail = self._encode(whole.rpartition(_PROBE)[2]) if _PROBE in whole else []
            special = set(self.tokenizer.all_special_ids)
            for index, token in enumerate(tail):
                if token in special:
                    return tail[: index + 1]
        return [eos] if eos is not None else []

    def _stop_ids(self) -> list[int]:
        eos = self.tokenizer.eos_token_id
        return [*self.end_ids[-1:], *([eos] if eos is not None else [])]
