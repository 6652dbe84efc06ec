"""What came out of reading a source: its papers, and what could not be read, with the reason.

Knows papers and refusals. Knows nothing of formats or of the network.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

from trued.feed.paper import FeedPaper
from trued.feed.store.records import Refusal

_HIDDEN = frozenset({"script", "style"})
_BLOCKS = frozenset({"p", "br", "div", "li", "ul", "ol", "tr", "td", "h1", "h2", "h3", "h4", "blockquote", "pre"})
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,31});")
_TAG = re.compile(
    r"</?(?:(?P<block>p|br|div|li|ul|ol|h[1-6]|jats:(?:p|title|sec|list|list-item))|i|b|u|em|strong|sub|sup|small|tt|span|"
    r"scp|sc|inf|code|a|cite|jats:[\w-]+|mml:\w+)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)

DAY_KEY = "submittedOnDailyAt"  # in Hugging Face's JSON: when a paper was listed


@dataclass(frozen=True)
class Reading:
    """The papers of a source, in its order.

    Args:
        papers: what was read.
        refused: what was not, where it stood and why.
        day: the day whose listing this is, where it is the listing of one day.
        source: what was read: "arXiv", "the page of Dec 10".
    """

    papers: tuple[FeedPaper, ...]
    refused: tuple[Refusal, ...] = ()
    day: date | None = None
    source: str = ""

    def by_day(self) -> list[tuple[date | None, tuple[FeedPaper, ...]]]:
        """Return the papers by the day whose listing had them, the earliest first; those of no day come last.

        A listing of a week or a month tells the day of each paper under `DAY_KEY`.
        """
        days: dict[date | None, list[FeedPaper]] = {}
        for paper in self.papers:
            days.setdefault(self.day or day_of(paper.extra.get(DAY_KEY)), []).append(paper)
        return [(day, tuple(days[day])) for day in sorted(days, key=lambda day: (day is None, day or date.min))]


def as_submitted(paper: FeedPaper) -> FeedPaper:
    """Return a paper as a person brought it: without what only its source could know, such as version and upvotes."""
    return replace(
        paper, source="submitted", version=None, rank=None, upvotes=None, comments=None, thumbnail=None, extra={}
    )


def day_of(moment: Any) -> date | None:
    """Return the day, in UTC, of a moment as JSON and Atom write it, or None if it is none."""
    if not isinstance(moment, str):
        return None
    try:
        parsed = datetime.fromisoformat(moment.strip())
        return (parsed.astimezone(UTC) if parsed.tzinfo else parsed).date()
    except (ValueError, OverflowError):
        return None


def one_line(text: Any) -> str:
    """Return a text with its line breaks and runs of blanks as single blanks; "" for what is no text."""
    return " ".join(text.split()) if isinstance(text, str) else ""


def without(extra: Mapping[str, Any], used: frozenset[str]) -> dict[str, Any]:
    """Return what a source says beyond the keys in `used`, leaving out what is empty."""
    return {str(key): value for key, value in extra.items() if key not in used and value not in (None, "", [], {})}


def without_markup(text: str) -> str:
    """Return a text without HTML's entities and the tags that publishers leave in titles and abstracts.

    An & or a < that belongs to neither stays.
    """
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return _TAG.sub(lambda match: " " if match["block"] else "", text) if "<" in text else text


class _Words(HTMLParser):
    """Collects what a reader of HTML sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        self.parts += [" "] if tag in _BLOCKS else []

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN and self._hidden > 0
        self.parts += [" "] if tag in _BLOCKS else []

    def handle_data(self, data: str) -> None:
        self.parts += [] if self._hidden else [data]


def html_text(text: str) -> str:
    """Return what a reader of HTML sees of it, without tags, scripts and styles."""
    words = _Words()
    words.feed(text)
    words.close()
    return "".join(words.parts)


def is_name(text: str) -> bool:
    """True for what can name an author: some lists have a colon behind a collaboration, as if it were one."""
    return any(char.isalnum() for char in text)
