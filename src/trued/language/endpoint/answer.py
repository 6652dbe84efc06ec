"""What one answer of an endpoint says: its text, or why it has none.

| answer | text | missing |
|---|---|---|
| content, a refusal field, or content in parts | that | – |
| `finish_reason` "content_filter", with or without a text | none | `FILTERED` |
| tool calls and no content | none | `TOOL_CALL` |
| reasoning and no content | none | `REASONING` |
| null or empty content | none | `NOTHING` |

Knows the shape of a chat completion. Knows nothing of requests, errors or caches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trued.errors import InputError
from trued.texts import whole

FILTERED = "held back by a content filter"
TOOL_CALL = "a tool call without text"
REASONING = "reasoning without a reply"
NOTHING = "an empty reply"
TOO_LONG = "too long for the model"
UNREADABLE = "an answer that cannot be read"


class UnreadableError(Exception):
    """An answer is no chat completion; its message says what is wrong."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        text: the reply; "" where there is none.
        finish_reason: why the server ended it.
        top: the likeliest first tokens with their log-probabilities, where they were requested and given.
        missing: why there is no text, one of this module's phrases; None where there is one.
        words: what the server said of that.
        left_out: parameters of the request that the server does not take.
        doubt: the error that this is if the endpoint never answers properly: then its address or the request may be
            wrong. None for an answer that stands for itself.
    """

    text: str
    finish_reason: str | None = None
    top: list[tuple[str, float]] | None = None
    missing: str | None = None
    words: str = ""
    left_out: tuple[str, ...] = ()
    doubt: InputError | None = None

    def record(self) -> dict[str, Any]:
        """Return what a cache keeps."""
        more = {"missing": self.missing, "words": self.words, "left_out": list(self.left_out)}
        base = {"text": self.text, "finish_reason": self.finish_reason, "top": self.top}
        return base | {name: value for name, value in more.items() if value}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Answer:
        """Return what `record` made.

        Raises:
            KeyError, TypeError, ValueError: something else made it.
        """
        text, top = record["text"], record["top"]
        if not isinstance(text, str):
            raise TypeError("the text is none")
        return cls(
            text,
            record.get("finish_reason"),
            [(str(token), float(logprob)) for token, logprob in top] if top else None,
            record.get("missing") or (None if text.strip() else NOTHING),
            record.get("words", ""),
            tuple(record.get("left_out", ())),
        )


def read_answer(response: Mapping[str, Any]) -> Answer:
    """Read a chat completion, as plain data.

    Raises:
        UnreadableError: it is none.
    """
    try:
        choice = response["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text = _text(message.get("content"))
        if text is None:  # a refusal has a field of its own
            text = _text(message.get("refusal"))
        content = (choice.get("logprobs") or {}).get("content") or None
        top = content and [(whole(str(t["token"])), float(t["logprob"])) for t in content[0]["top_logprobs"]]
        calls = message.get("tool_calls") or message.get("function_call")
        thoughts = message.get("reasoning_content") or message.get("reasoning")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError(f"{type(error).__name__} in its choices") from None
    finish = finish if isinstance(finish, str) else None
    if finish == "content_filter":
        return Answer("", finish, missing=FILTERED)
    if text is not None and text.strip():
        return Answer(text, finish, top)
    missing = TOOL_CALL if calls else REASONING if thoughts else NOTHING
    return Answer(text or "", finish, top, missing)


def _text(content: Any) -> str | None:
    """Return the text of a content, also where it comes in parts; None for null."""
    if content is None:
        return None
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content]
        return whole("".join(part for part in parts if isinstance(part, str)))
    if not isinstance(content, str):
        raise TypeError("a content that is no text")
    return whole(content)
