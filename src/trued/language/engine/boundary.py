"""Where a prompt ends and a reply begins: both are tokenised apart, and joined they are the ids of the whole text.

Most tokenizers cut a text there by themselves. Some put a blank before whatever begins a text, some merge a blank with
the word after it, and some merge two line breaks only where nothing follows them.

Knows tokenizers and text. Knows nothing of templates or messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROBES = ("trued probe", "Sure, here", "I", "zq")
"""Replies on which a boundary is tried; the first also stands for the reply that may follow a prompt."""


@dataclass(frozen=True)
class Boundary:
    """How a prompt and the reply to it are tokenised.

    Args:
        tokenizer: a Hugging Face tokenizer.
        lead: blanks between the two that belong to the reply, with whose first word they make one token.
        anchor: what stands before a reply, where a reply is tokenised after it and its ids are left off; "" where a
            reply is tokenised by itself.
        ahead: tokenise a prompt with a reply after it, whose ids are left off.
    """

    tokenizer: Any
    lead: str = ""
    anchor: str = ""
    ahead: bool = False

    def prompt_ids(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a prompt that is open for the reply; with `special`, what the tokenizer adds to a text too."""
        if self.ahead:
            longer, reply = self._encode(text + PROBES[0], special), self._encode(PROBES[0])
            if longer[-len(reply) :] == reply:
                return longer[: -len(reply)]
        return self._encode(text, special)

    def reply_ids(self, text: str) -> list[int]:
        """Token ids of a reply; it gets its lead, unless it is empty or begins with it, as generated replies do."""
        if text and not text.startswith(self.lead):
            text = self.lead + text
        return self._after(self.anchor, text)

    def rest_ids(self, text: str) -> list[int]:
        """Token ids of the rest of a prompt, after words whose own ids are known, up to the reply."""
        start = self._encode("x")
        if self._encode("\n") != self._encode("x\n")[len(start) :]:  # it puts a blank before what begins a text
            ids = self.prompt_ids("x" + text)
            if ids[: len(start)] == start:
                return ids[len(start) :]
        return self.prompt_ids(text)

    def _after(self, anchor: str, text: str) -> list[int]:
        if anchor:
            start, ids = self._encode(anchor), self._encode(anchor + text)
            if ids[: len(start)] == start:
                return ids[len(start) :]
        return self._encode(text)

    def _encode(self, text: str, special: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def holds(self, opened: str) -> bool:
        """Whether joined ids are those of the whole text, for replies after `opened`, a prompt with the lead."""
        prompt = self.prompt_ids(opened.removesuffix(self.lead))
        return all(prompt + self.reply_ids(reply) == self._encode(opened + reply) for reply in PROBES)


def boundary_of(tokenizer: Any, opened: str, anchor: str) -> Boundary | None:
    """Return the plainest boundary that holds after `opened`, or None if none of them does.

    Args:
        tokenizer: a Hugging Face tokenizer.
        opened: a conversation up to a reply, as the template writes it.
        anchor: the end of `opened` that is the same in all conversations.
    """
    return next((boundary for boundary in _candidates(tokenizer, opened, anchor) if boundary.holds(opened)), None)


def _candidates(tokenizer: Any, opened: str, anchor: str) -> Iterator[Boundary]:
    blanks = opened[len(opened.rstrip(" ")) :]
    leads = tuple(dict.fromkeys(("", blanks)))
    yield from (Boundary(tokenizer, lead) for lead in leads)
    yield from (Boundary(tokenizer, lead, ahead=True) for lead in leads)
    yield from (Boundary(tokenizer, lead, anchor.removesuffix(lead)) for lead in leads)
