"""Chats as plain data: a message has a role and a content, a prompt is a text or a list of messages.

Knows the shape of a chat. Knows nothing of tokenizers, templates or files.
"""

from __future__ import annotations

from collections.abc import Sequence

from trued.errors import InputError

Message = dict[str, str]
Prompt = str | Sequence[Message]


def as_messages(prompt: Prompt) -> list[Message]:
    """Return a prompt as messages; a plain string is one user turn.

    Raises:
        InputError: no message, or one without a role or a content.
    """
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    messages = [dict(message) for message in prompt]
    if not messages or any(set(m) < {"role", "content"} for m in messages):
        raise InputError("a prompt is a text, or a list of messages that each have 'role' and 'content'")
    return messages
