"""The answer in a reply that begins with a thought.

A model that thinks aloud writes a thought before its answer. A judge reads the answer alone; a thought that is cut off
has no answer yet, and is neither safe nor unsafe.

Knows the marks of thoughts in text. Knows nothing of judges or models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMES = r"think|thinking|thought|reasoning|seed:think"
# Marks count at the beginning of a line or alone at its end: a reply may speak of "<think>" and mean the word.
_OPEN = re.compile(rf"^[ \t]*(?:<(?P<tag>{_NAMES})>|\[THINK\]|<\|channel\|>analysis<\|message\|>)", re.MULTILINE | re.I)
_LONE_CLOSE = re.compile(
    rf"(?:^[ \t]*(?:</(?:{_NAMES})>|\[/THINK\])|(?:</(?:{_NAMES})>|\[/THINK\])[ \t]*$)", re.M | re.I
)
# OpenAI's harmony format, with its special tokens and as it reads where they were left out.
_HARMONY = re.compile(
    r"\A\s*(?:<\|channel\|>)?analysis(?:<\|message\|>)?.*?"
    r"(?:<\|end\|>\s*<\|start\|>)?assistant(?:<\|channel\|>)?final(?:<\|message\|>)?",
    re.DOTALL,
)
_HARMONY_CUT = re.compile(r"\A\s*analysis(?=[A-Z])")


def answer_of(reply: str) -> str | None:
    """Return a reply without its thoughts, or None where a thought is cut off: there is no answer yet.

    A reply without a thought is returned as it is. A thought whose opening mark stood in the prompt ends at its closing
    mark.
    """
    rest = _HARMONY.sub("", reply, count=1)
    if _HARMONY_CUT.match(rest):
        return None
    lone, first = _LONE_CLOSE.search(rest), _OPEN.search(rest)
    if lone is not None and (first is None or lone.start() < first.start()):
        rest = rest[lone.end() :]
    while (opening := _OPEN.search(rest)) is not None:
        closing = _closing(opening).search(rest, opening.end())
        if closing is None:
            return None
        rest = rest[: opening.start()] + rest[closing.end() :]
    return reply if rest == reply else rest.strip()


def cut_warning(replies: Sequence[str]) -> str | None:
    """Return a sentence for the report if replies are thoughts that were cut off, else None."""
    cut = sum(answer_of(reply) is None for reply in replies)
    if not cut:
        return None
    return (
        f"{cut} of {len(replies)} replies are thoughts that were cut off, which counts as unknown: allow longer "
        "replies, or have the model answer without thoughts"
    )


def _closing(opening: re.Match[str]) -> re.Pattern[str]:
    if opening["tag"]:
        return re.compile(f"</{re.escape(opening['tag'])}>", re.I)
    return re.compile(r"\[/THINK\]", re.I) if "THINK" in opening[0].upper() else re.compile(r"<\|end\|>")
