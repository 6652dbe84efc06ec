"""What a server's complaint means: a filter, a prompt that is too long, a parameter that it does not take.

Servers agree on little but the error's place in the answer. Codes go before words, and words are matched narrowly:
what is not recognised ends the run with the server's own words.

Knows errors as plain data. Knows nothing of how they came.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from trued.language.endpoint.answer import FILTERED, TOO_LONG
from trued.texts import whole

LIMITS = ("max_tokens", "max_completion_tokens")
"""Two names of the same parameter: OpenAI's newer models refuse the older one, many other servers know only that."""

OPTIONAL = ("temperature", "top_p", "seed", "n", "stop")
"""Parameters without which a request still makes sense."""

_PASSING = frozenset({408, 409, 429})  # and 5xx: another attempt may do better
_LASTING = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_LONGEST_QUOTE = 300  # characters of a server's own words
_FILTER_CODES = frozenset({
    "content_filter", "content_policy_violation", "contentpolicyviolation", "responsibleaipolicyviolation",
    "data_inspection_failed", "moderation_blocked", "content_filtered", "invalid_prompt", "sensitive_content",
})  # fmt: skip
_FILTER_WORDS = re.compile(
    r"content[ _-]?(?:management|filter|moderation|polic)|usage polic|responsible ?ai|safety system|"
    r"inappropriate content|requires moderation|(?:prompt|input|output|response|message|request)s? "
    r"(?:was|were|is|are|has been|have been) (?:flagged|blocked|filtered)",
    re.IGNORECASE,
)
_LENGTH_CODES = frozenset({"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"})
_LENGTH_WORDS = re.compile(
    r"context[ _](?:length|window|size)|maximum context|max_model_len|"
    r"(?:prompt|input|request|message)s? (?:is|are) too (?:long|large)|too many (?:input )?tokens|payload too large",
    re.IGNORECASE,
)
_UNSUPPORTED_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"})
_UNSUPPORTED_WORDS = re.compile(
    r"unsupported|not (?:be )?supported|does(?: not|n't) support|unrecogni[sz]ed|unknown (?:parameter|field|argument)|"
    r"unexpected (?:parameter|keyword|field|argument)|not (?:permitted|allowed)|deprecated",
    re.IGNORECASE,
)
_HTML = re.compile(r"\s*(?:<!doctype html|<html|<head|<body)", re.IGNORECASE)


@dataclass(frozen=True)
class Complaint:
    """An error of a server.

    Args:
        status: of HTTP, or the code that stands for one inside an answer; None where there is none.
        body: the error, as JSON; or any text.
    """

    status: int | None
    body: Any

    @property
    def words(self) -> str:
        """The server's own words on one line, shortened; "" where there are none."""
        text = _message(self.body)
        if _HTML.match(text):
            title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
            text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
        return one_line(text)

    @property
    def passing(self) -> bool:
        """True if another attempt may do better."""
        if _LASTING & self._codes():
            return False
        return self.status is None or self.status in _PASSING or self.status >= 500

    def missing(self) -> str | None:
        """Return why this one request gets no text, or None if the error is not about this request alone."""
        if self.status is not None and (self.status in (401, 404, *_PASSING) or self.status >= 500):
            return None
        codes, words = self._codes(), self.words
        if codes & _FILTER_CODES or _FILTER_WORDS.search(words):
            return FILTERED
        if self.status == 413 or codes & _LENGTH_CODES or _LENGTH_WORDS.search(words):
            return TOO_LONG
        return None

    def unsupported(self, sent: Collection[str]) -> str | None:
        """Return the parameter among those sent that the server names as one that it does not take, or None."""
        if self.status not in (400, 422):
            return None
        words = self.words
        if not (_UNSUPPORTED_CODES & self._codes() or _UNSUPPORTED_WORDS.search(words)):
            return None
        names = [name for name in (*LIMITS, *OPTIONAL) if name in sent]
        told = {str(self._values("param")[0])} if self._values("param") else set()
        told |= {str(loc[-1]) for loc in self._values("loc") if isinstance(loc, list) and loc}
        # A message names the parameter first, and then perhaps what to send instead.
        places = {
            name: match.start() for name in names if (match := re.search(rf"(?<![\w.]){name}(?!\w)", words)) is not None
        }
        named = [name for name in names if name in told] or sorted(
            (name for name in places if len(name) > 1 or f"'{name}'" in words), key=lambda name: places[name]
        )
        return named[0] if named else None

    def _codes(self) -> set[str]:
        return {str(value).casefold() for name in ("code", "type") for value in self._values(name)}

    def _values(self, name: str) -> list[Any]:
        """Return the values under a name, in the error itself and in what it holds to a depth of three."""
        values: list[Any] = []
        level = [self.body]
        for _ in range(4):
            maps = [value for value in level if isinstance(value, Mapping)]
            values += [value[name] for value in maps if value.get(name) is not None]
            inner = [item for value in maps for item in value.values()]
            level = inner + [item for value in (*level, *inner) if isinstance(value, list) for item in value]
        return values


def complaint_in(answer: Mapping[str, Any]) -> Complaint | None:
    """Return the error that came inside a successful answer, as routers of several providers send it, or None."""
    body = answer.get("error")
    if not body:
        choices = answer.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        body = first.get("error") if isinstance(first, Mapping) else None
    if not body:
        return None
    code = body.get("code") if isinstance(body, Mapping) else None
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal() and len(code) < 4) else 0
    return Complaint(number if 400 <= number < 600 else None, body)


def one_line(text: str) -> str:
    """Return foreign words on one line, printable and shortened."""
    plain = "".join(c if c.isprintable() else " " for c in whole(text))
    return " ".join(plain.split())[:_LONGEST_QUOTE].rstrip(". ")


def _message(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_message, body[:3])))
    if isinstance(body, Mapping):
        for name in ("message", "msg", "detail", "error", "reason"):
            if body.get(name):
                own = _message(body[name])
                loc = body.get("loc")
                return f"{own} ({'.'.join(map(str, loc))})" if isinstance(loc, list) else own
    return ""
