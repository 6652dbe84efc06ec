"""Chats as plain data: a message has a role and a content, a prompt is a text or a list of messages.

Knows the shape of a chat. Knows nothing of tokenizers, templates or files.
"""

from __future__ import annotations

from collections.abc import Sequence

from trued.errors import InputError
from trued.texts import has_half

Message = dict[str, str]
Prompt = str | Sequence[Message]


def as_messages(prompt: Prompt) -> list[Message]:
    """Return a prompt as messages; a plain string is one user turn.

    Raises:
        InputError: no message, one without a role or a content, or half of a character (a lone surrogate) in one.
    """
    if isinstance(prompt, str):
        messages = [{"role": "user", "content": prompt}]
    else:
        messages = [dict(message) for message in prompt]
    if not messages or any(set(m) < {"role", "content"} for m in messages):
        raise InputError("a prompt is a text, or a list of messages that each have 'role' and 'content'")
    if any(isinstance(m["content"], str) and has_half(m["content"]) for m in messages):
        raise InputError(
            "a prompt contains half of a character (a lone surrogate, such as a cut emoji leaves): write it whole"
        )
    return messages
