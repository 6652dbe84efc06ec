"""The passage of an abstract that shows why it was found, with the words marked, safe to put into a page.

Knows text and terms. Knows nothing of searching.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from html import escape

from trued.feed.search.query import Term, words

WIDTH = 240  # characters
WORD = re.compile(r"\w+")
FORMULA = re.compile(r"(?<!\\)\$(?=[^\s$])[^$<>]{1,300}?(?<=[^\s\\$])\$(?!\d)")  # of TeX
SHORTEST_STEM = 4
ENDINGS = (
    "", "e", "s", "d", "y", "es", "ed", "er", "ers", "ing", "ings", "ion", "ions", "ive", "ment", "ments", "al", "ally",
    "ies", "ied", "ation", "ations",
)  # fmt: skip


def snippet(text: str, terms: Sequence[Term], width: int = WIDTH) -> str:
    """Return about `width` characters of the text where most of the terms are, as HTML.

    Everything of the text is escaped; only <mark> is added. Without a term in it, it is the text's beginning.
    """
    matches = spans(text, terms)
    start, end = _window(text, matches, width)
    parts, at = ["…" if start else ""], start
    for left, right in matches:
        if max(start, at) <= left and right <= end:
            parts += [escape(text[at:left]), "<mark>", escape(text[left:right]), "</mark>"]
            at = right
    return "".join([*parts, escape(text[at:end]), "…" if end < len(text) else ""])


def spans(text: str, terms: Sequence[Term]) -> list[tuple[int, int]]:
    """Return where the terms occur in the text: (start, end) in characters, in order, none overlapping."""
    tokens = [(match.start(), match.end(), word) for match in WORD.finditer(text) for word in _words(match[0])]
    # Most words of a text begin like none of the query: that is checked first, as it costs least.
    heads = tuple({term.words[0][:SHORTEST_STEM] for term in terms})
    matches: list[tuple[int, int]] = []
    after = 0
    for i, (start, _, word) in enumerate(tokens):
        if i < after or not word.startswith(heads):
            continue
        length = max((len(term.words) for term in terms if _here(tokens, i, term)), default=0)
        if length:
            matches.append((start, tokens[i + length - 1][1]))
            after = i + length
    return matches


def _words(text: str) -> list[str]:
    return [text.lower()] if text.isascii() and "_" not in text else words(text)


def _here(tokens: list[tuple[int, int, str]], i: int, term: Term) -> bool:
    there = [word for _, _, word in tokens[i : i + len(term.words)]]
    if len(there) < len(term.words) or not all(map(akin, there[:-1], term.words)):
        return False
    return akin(there[-1], term.words[-1]) or (term.prefix and there[-1].startswith(term.words[-1]))


def akin(word: str, other: str) -> bool:
    """True if two words are the same but for endings, so that the index of stems may take them for one."""
    if word == other:
        return True
    same = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return same >= SHORTEST_STEM and word[same:] in ENDINGS and other[same:] in ENDINGS


def _window(text: str, matches: list[tuple[int, int]], width: int) -> tuple[int, int]:
    """Return the passage with the most spans, the first such, beginning and ending between words and formulas."""
    if len(text) <= width:
        return 0, len(text)
    starts = [left for left, _ in matches]
    best, most = 0, 0
    for i, left in enumerate(starts):
        held = bisect_left(starts, left + width * 3 // 4) - i
        if held > most:
            best, most = left, held
    start = 0 if best < width // 3 else text.rfind(" ", 0, best - width // 6) + 1
    end = min(start + width, len(text))
    if end < len(text):
        space = text.rfind(" ", start, end)
        end = space if space > start else end
    for formula in FORMULA.finditer(text):
        start = formula.start() if formula.start() < start < formula.end() else start
        end = formula.end() if formula.start() < end < formula.end() else end
    return start, end
