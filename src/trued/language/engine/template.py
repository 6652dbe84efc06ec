"""Chats to token ids, through the tokenizer's own chat template.

Knows messages and tokens. Knows nothing of models. A prompt and a reply are tokenised apart and their ids joined, so
that the same prompt has the same tokens whatever reply follows it. Joined, they are the template's own conversation: a
reply follows what the template writes before one, such as an empty thought, and ends as the template ends it. Where
that cannot be had, `ChatFormat.difference` says what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trued.data.messages import Message, Prompt, as_messages
from trued.errors import InputError
from trued.language.engine.boundary import PROBES, Boundary, boundary_of

_QUESTION, _PROBE = "trued question", PROBES[0]
_DRESSED = f" \n<think>\ntrued thought\n</think>\n\n {_PROBE} \n"
_SHOWN_TOKENS = 12


class ChatFormat:
    """The token ids of prompts and replies under one tokenizer's chat template.

    Args:
        tokenizer: a Hugging Face tokenizer.
        template: None for the tokenizer's own template, "none" for plain text without any, a Jinja template, or the
            name of one of the tokenizer's templates where it has several.
        eos_ids: tokens at which the model's own configuration ends a reply, beside the tokenizer's end of text.

    Raises:
        InputError: the tokenizer has no chat template, or several without a default, and `template` is None; or the
            template shows no message.
    """

    def __init__(self, tokenizer: Any, template: str | None = None, *, eos_ids: Iterable[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.plain = template == "none"
        self.template = None if template in (None, "none") else template
        self.source = "" if self.plain else _source(tokenizer, self.template)
        self.eos_ids = frozenset(eos_ids)
        # A template that can leave thoughts out does: what is scored is a reply, not a thought that it might follow.
        self._options = {"enable_thinking": False} if "enable_thinking" in self.source else {}
        self._ending, self._opening, self._tail = "", "", ""
        self._boundary, self._verbatim = Boundary(tokenizer), True
        if self.template is not None and _PROBE not in self.render(_PROBE):
            raise InputError(
                "the chat template that was given does not show the message, so every prompt would be the same: give a "
                "Jinja template that uses 'messages'"
            )
        self._learn_opening()
        self.end_ids = self._end_ids()
        self.stop_ids = self.eos_ids | self._eos() | frozenset(self.end_ids[-1:])
        self.difference = self._difference()
        """What is scored and trained on that the template's own conversations have otherwise; None where nothing is."""

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences for a report on how replies are put, where a reader would expect something else."""
        return tuple(filter(None, (self._thoughtless(), self.difference)))

    def render(self, prompt: Prompt) -> str:
        """Return the prompt as text, with the assistant's turn opened."""
        messages = as_messages(prompt)
        if self.plain:
            return "\n\n".join(m["content"] for m in messages) + "\n\n"
        text = self._apply(messages, add_generation_prompt=True, **self._options)
        opened = text.removesuffix(self._ending) + self._opening if text.endswith(self._ending) else text
        return opened + self._boundary.lead

    def prompt_ids(self, prompt: Prompt, *, prefill: str = "") -> list[int]:
        """Token ids of the prompt, the assistant's turn opened and begun with `prefill`."""
        ids = self._boundary.prompt_ids(self._leadless(self.render(prompt)), special=self.plain)
        return ids + self._boundary.reply_ids(prefill) if prefill else ids

    def reply_ids(self, text: str, *, end: bool = True) -> list[int]:
        """Token ids of an assistant's reply; with `end`, the end of turn too, so that it is learned.

        A reply with its end is a whole one, and is written as the template writes it: trimmed by one that trims, and
        without its own thought where an empty one stands before it already.
        """
        return self._boundary.reply_ids(self._as_written(text) if end else text) + (self.end_ids if end else [])

    def cut_ids(self, before: str, after: str) -> tuple[list[int], list[int]]:
        """Token ids of a rendered prompt on both sides of a place in it."""
        return self._encode(before, special=self.plain), self._boundary.rest_ids(self._leadless(after))

    def _leadless(self, opened: str) -> str:
        """Return a rendered prompt without the blanks at its end that are tokenised with the reply."""
        return opened.removesuffix(self._boundary.lead)

    def continues_replies(self) -> bool:
        """Whether the template opens the assistant's turn such that a reply's text can simply follow."""
        if self.plain:
            return True
        opened = self.render(_QUESTION)
        return self._finished(as_messages(_QUESTION), _PROBE).startswith(opened + _PROBE)

    # -- the template ----------------------------------------------------------------------------------------------

    def _apply(self, messages: list[Message], **options: Any) -> str:
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, chat_template=self.template, **options)
        except Exception as error:  # a template raises whatever its author chose
            roles = [m["role"] for m in messages]
            raise InputError(f"the chat template refuses the roles {roles}: {error}") from error
        return str(text)

    def _finished(self, messages: list[Message], reply: str) -> str:
        """Return the conversation with a reply as the template writes it; "" for a template that refuses it."""
        return self._conversation([*messages, {"role": "assistant", "content": reply}])

    def _conversation(self, messages: list[Message]) -> str:
        try:
            return self._apply(messages, **self._options)
        except InputError:
            return ""

    def _encode(self, text: str, *, special: bool = False) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _learn_opening(self) -> None:
        """Find out what stands before a reply in a finished conversation, and how it and the reply are tokenised."""
        if self.plain:
            return
        question = as_messages(_QUESTION)
        before, probe, self._tail = self._finished(question, _PROBE).rpartition(_PROBE)
        prompt = self._apply(question, add_generation_prompt=True, **self._options)
        question_end = prompt.rfind(_QUESTION) + len(_QUESTION)
        if not probe or not before.startswith(prompt[:question_end]):
            return  # the template shows no reply, or writes the question otherwise once it is answered
        boundary = boundary_of(self.tokenizer, before, before[question_end:])
        self._boundary = boundary or self._boundary
        opened = before.removesuffix(self._boundary.lead)
        common = _common(prompt, opened)
        self._ending, self._opening = prompt[common:], opened[common:]
        self._verbatim = before + _DRESSED + self._tail == self._finished(question, _DRESSED)

    def _as_written(self, text: str) -> str:
        if self._verbatim or not text:
            return text
        opened = self.render(_QUESTION)
        for reply in (text, text.rpartition("</think>")[2].lstrip()):
            whole = self._finished(as_messages(_QUESTION), reply)
            if whole.startswith(opened) and whole.endswith(self._tail):
                return whole[len(opened) : len(whole) - len(self._tail)]
        return text

    # -- the end of a reply ----------------------------------------------------------------------------------------

    def _eos(self) -> frozenset[int]:
        eos = self.tokenizer.eos_token_id
        return frozenset() if eos is None else frozenset({eos})

    def _end_ids(self) -> list[int]:
        """What the template writes after a reply, up to its first special token; else the end of text."""
        added = self.tokenizer.added_tokens_decoder
        special = {*self.tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
        ends = self.eos_ids | self._eos()
        answered = [*as_messages(_QUESTION), {"role": "assistant", "content": _PROBE}]
        # Some templates leave it to the next turn's opening to end a reply, and the model's configuration says so.
        for messages, known in ((answered, special | ends), ([*answered, *as_messages(_QUESTION)], ends)):
            tail = [] if self.plain else self._ids_after_reply(self._conversation(messages))
            for index, token in enumerate(tail):
                if token in known:
                    return tail[: index + 1]
        return sorted(self._eos() or ends)[:1]

    def _ids_after_reply(self, whole: str) -> list[int]:
        """Return the ids that follow the probe in a conversation that answers the question with it."""
        if _PROBE not in whole:
            return []
        ids, start = self._encode(whole), self.prompt_ids(_QUESTION) + self._boundary.reply_ids(_PROBE)
        return ids[len(start) :] if ids[: len(start)] == start else self._encode(whole.rpartition(_PROBE)[2])

    # -- what a reader should know ---------------------------------------------------------------------------------

    def _thoughtless(self) -> str | None:
        """Say so where the template itself would open a reply otherwise, most often with a thought."""
        if self.plain:
            return None
        own, ours = self._apply(as_messages(_QUESTION), add_generation_prompt=True), self.render(_QUESTION)
        if own.rstrip() == ours.rstrip():
            return None
        thoughts = " Thoughts play no part." if "think" in (own + ours).lower() else ""
        return (
            f"Replies are generated and scored after {_end(ours)}, as in the chat template's finished conversations, "
            f"and not after {_end(own)}, with which it asks for one.{thoughts}"
        )

    def _difference(self) -> str | None:
        if self.plain:
            return None
        question = as_messages(_QUESTION)
        if _PROBE not in self._finished(question, _PROBE):
            return "The chat template shows no reply of the assistant; replies are scored after its prompt as they are."
        answered = [*question, {"role": "assistant", "content": "trued answer"}]
        for messages in (question, [*answered, *question]):
            whole = self._finished(messages, _PROBE)
            ours, theirs = self.prompt_ids(messages) + self.reply_ids(_PROBE), self._encode(whole)
            if whole and theirs[: len(ours)] != ours:
                return self._described(ours, theirs)
        return None

    def _described(self, ours: Sequence[int], theirs: Sequence[int]) -> str:
        at = _common(ours, theirs)
        start = max(0, at - _SHOWN_TOKENS // 2)
        shown = [self.tokenizer.decode(ids[start : start + _SHOWN_TOKENS]) for ids in (ours, theirs)]
        if shown[0] == shown[1]:
            shown = [" ".join(self.tokenizer.convert_ids_to_tokens(ids[start : start + _SHOWN_TOKENS]))
                     for ids in (list(ours), list(theirs))]  # fmt: skip
        return (
            f"Replies are scored and trained on in another conversation than the chat template's: {shown[0]!r} stands "
            f"for its {shown[1]!r}."
        )


def _source(tokenizer: Any, template: str | None) -> str:
    """Return the text of the template in use.

    Raises:
        InputError: the tokenizer has none, or several without a default.
    """
    own = getattr(tokenizer, "chat_template", None)
    name = getattr(tokenizer, "name_or_path", "") or "this model"
    if isinstance(own, dict):
        if template is not None:
            return str(own.get(template, template))
        if "default" not in own:
            raise InputError(
                f"the tokenizer of {name} has the chat templates {', '.join(sorted(own))} and no default: pass the "
                "name of one as template (--template)"
            )
        return str(own["default"])
    if template is None and not own:
        raise InputError(
            f"the tokenizer of {name} has no chat template: "
            "pass template='none' (--template none) for plain text, or the text of a Jinja template"
        )
    return str(template or own)


def _common(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Return the length of the beginning that both share."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


def _end(prompt: str) -> str:
    return repr(prompt.rpartition(_QUESTION)[2])
