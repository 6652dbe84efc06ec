"""The daily papers' page as text, the way a browser copies it: titles, abstracts, and a tail where there is one.

An entry is a title, a blank line, an abstract, a blank line, and then mostly a tail: who wrote it ("  • 8 authors", or
an organisation), a middle dot alone on its line, and the date, sometimes with a count behind it whose meaning the page
does not tell. The middle dot is what entries are found by; between two tails, a short line and a long one are an entry
without a tail. What fits neither is kept as it stands, with the reason, and reading goes on.

Knows the page's text. Knows nothing of files, of other formats or of what becomes of a paper.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from trued.errors import InputError
from trued.feed.links import links_in
from trued.feed.paper import FeedPaper
from trued.feed.sources.page_date import YearlessDate, page_year_of, parse_count, parse_date

_DOT = "·"
_LONG = 200  # characters from which on a line is an abstract, without a tail behind it to say so
_AUTHORS = re.compile(r"(?:[•∙●*-]\s*)?(?P<count>[\d.,]+\s?[kK]?) authors?", re.IGNORECASE)
_HEADER_END = {"byak and the research community", "by ak and the research community"}
_HEADER = {"new", "get trending papers in your email inbox!", "subscribe", "daily papers", *_HEADER_END}
_HEADER_WITHIN = 100  # lines
_HTML = re.compile(r"\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)

CountMeans = Literal["comments", "upvotes"]


@dataclass(frozen=True)
class Unparsed:
    """A piece of the page that was not understood: as it stands, from which line on, and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True)
class Page:
    """What the text of a page says.

    Args:
        page_date: the day in the page's header; the year is inferred. None without a header.
        papers: in the page's order, ranked from 1.
        unparsed: what was not understood; the papers do not need it to be right.
    """

    page_date: date | None
    papers: tuple[FeedPaper, ...]
    unparsed: tuple[Unparsed, ...]


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    after_blank: bool


@dataclass(frozen=True)
class _Tail:
    """What stands behind an abstract; `date` is None where it is missing or not understood."""

    text: str = ""
    authors: int | None = None
    byline: str | None = None
    date: YearlessDate | None = None


def parse_page(
    text: str,
    page_year: int | None = None,
    strict: bool = False,
    count_means: CountMeans = "comments",
    today: date | None = None,
) -> Page:
    """Read the text of the daily papers' page.

    The site shows a year only where it is not the page's own. The page's year is `page_year`; or the first after the
    latest year shown in which every date without one exists; or, where no year is shown, the last one. No year is
    inferred that puts the page after today. A date later than the page's own by more than a day, or than today where
    the page shows none, belongs to the year before.

    Args:
        page_year: the year in which the page was shown, where you know it.
        strict: raise at the first piece that is not understood, instead of keeping it aside.
        count_means: what the count behind a date counts. The page does not say; its size is that of the comments.
        today: the present day, for a page that shows no year at all; by the clock if None.

    Raises:
        InputError: the text is HTML; or, if `strict`, a piece is not understood.
    """
    if _HTML.match(text):
        raise InputError(
            "this is a web page's HTML, expected its text: open the page, select all of it, copy, and save that; "
            "or read the feed itself with `trued papers ingest daily`"
        )
    header_date, lines = _header(_lines(text))
    entries: list[tuple[str, str, _Tail]] = []
    unparsed: list[Unparsed] = []
    for segment, tail in _segments(lines, unparsed):
        entries += _entries(segment, tail, unparsed)
    dates = [tail.date for _, _, tail in entries if tail.date is not None]
    year = (
        page_year
        if page_year is not None
        else page_year_of([*dates, *([header_date] if header_date else [])], header_date, today)
    )
    page_date = header_date.in_year(year) if header_date else None
    today = today or datetime.now(UTC).date()
    last = page_date or (today if page_year is None else date(page_year, 12, 31))
    papers = []
    for rank, (title, abstract, tail) in enumerate(entries, start=1):
        published = tail.date.on_page(year, last) if tail.date else None
        if tail.date and published and tail.date.year and published > today + timedelta(days=1):
            unparsed.append(Unparsed(tail.date.line, tail.date.text, "the date is to come"))
            published = None
        elif tail.date and published is None:
            why = f"the date does not exist in {tail.date.year or year}; give the page's year if it was another"
            unparsed.append(Unparsed(tail.date.line, tail.date.text, why))
        papers.append(_paper(title, abstract, tail, published, rank, count_means))
    unparsed.sort(key=lambda piece: piece.line)
    if strict and unparsed:
        piece = unparsed[0]
        raise InputError(f"line {piece.line}: {piece.text[:60]!r} is not understood: {piece.why}")
    return Page(page_date, tuple(papers), tuple(unparsed))


def _lines(text: str) -> list[_Line]:
    """Return the lines that are not blank. Zero-width characters and the kinds of line breaks make no difference."""
    text = text.translate({0xFEFF: None, 0x200B: None, 0x00A0: " ", 0x202F: " "})
    lines: list[_Line] = []
    after_blank = True
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        words = " ".join(line.split())
        if words:
            lines.append(_Line(number, words, after_blank))
        after_blank = not words
    return lines


def _header(lines: list[_Line]) -> tuple[YearlessDate | None, list[_Line]]:
    """Return the page's own date, where it has a header that gives one, and the lines behind the header."""
    marks = [at for at, line in enumerate(lines[:_HEADER_WITHIN]) if line.text.casefold() in _HEADER_END]
    start = marks[0] + 1 if marks else 0
    if any(len(line.text) >= _LONG or line.text == _DOT for line in lines[:start]):
        start = 0  # above a header stand the site's menus, and no entries
    while start < len(lines) and lines[start].text.casefold() in _HEADER:
        start += 1
    if (
        start < len(lines)
        and (header_date := parse_date(lines[start].text, lines[start].number))
        and header_date.count is None
    ):
        return header_date, lines[start + 1 :]
    return None, lines[start:]


def _segments(lines: list[_Line], unparsed: list[Unparsed]) -> Iterator[tuple[list[_Line], _Tail | None]]:
    """Cut the lines behind each tail: yield the lines of titles and abstracts before it, and the tail."""
    start, at = 0, 0
    while at < len(lines):
        if lines[at].text != _DOT:
            at += 1
            continue
        ahead = lines[start:at]
        byline = ahead.pop() if ahead and _is_byline(ahead, near=not lines[at].after_blank) else None
        at += 1
        day, used = _date_line(lines, at)
        if day is None:
            piece = lines[at] if used else lines[at - 1]
            why = "the page ends before the date" if at >= len(lines) else "expected a date such as Apr 4, Jun 17, 2024"
            unparsed.append(Unparsed(piece.number, piece.text, why))
        start = at - 1 - (byline is not None)
        at += used
        yield ahead, _tail(byline, day, lines[start:at])
        start = at
    rest = lines[start:]
    if rest and _AUTHORS.fullmatch(rest[-1].text) and rest[-1].text.startswith("•"):
        yield rest[:-1], _tail(rest[-1], None, rest[-1:])
        unparsed.append(Unparsed(rest[-1].number, rest[-1].text, "the page ends before the date"))
    else:
        yield rest, None


def _is_byline(ahead: Sequence[_Line], *, near: bool) -> bool:
    """True if the last line before a middle dot says who wrote the paper, and is no abstract.

    An abstract has a blank line behind it. Where blank lines were lost or added, counting in pairs has to tell.
    """
    last = ahead[-1].text
    return _AUTHORS.fullmatch(last) is not None or (len(last) < _LONG and (near or len(ahead) % 2 == 1))


def _date_line(lines: list[_Line], at: int) -> tuple[YearlessDate | None, int]:
    """Return the date behind a middle dot, and how many lines it takes; a line that is no date is taken if it is near.

    A count that a browser put on a line of its own belongs to the date above it.
    """
    if at >= len(lines):
        return None, 0
    line = lines[at]
    parsed = parse_date(line.text, line.number)
    if parsed is None:
        return None, 0 if line.after_blank else 1
    if parsed.count is None and at + 1 < len(lines) and not lines[at + 1].after_blank:
        count = parse_count(lines[at + 1].text)
        if count is not None:
            return replace(parsed, count=count), 2
    return parsed, 1


def _tail(byline: _Line | None, day: YearlessDate | None, lines: Sequence[_Line]) -> _Tail:
    text = "\n".join(line.text for line in lines)
    if byline is None:
        return _Tail(text, date=day)
    if match := _AUTHORS.fullmatch(byline.text):
        return _Tail(text, authors=parse_count(match["count"]), date=day)
    return _Tail(text, byline=byline.text, date=day)


def _entries(lines: list[_Line], tail: _Tail | None, unparsed: list[Unparsed]) -> Iterator[tuple[str, str, _Tail]]:
    """Yield title, abstract and tail of the entries in a segment, of which only the last one has the tail.

    A tail goes with the lines before it: it is not given to an entry that something unknown parts it from.
    """
    at = 0
    while at < len(lines):
        title, left = lines[at], len(lines) - at
        if left == 2 and tail is not None:
            yield title.text, lines[at + 1].text, tail
            return
        if left >= 2 and len(title.text) < _LONG <= len(lines[at + 1].text):
            yield title.text, lines[at + 1].text, _Tail()
            at += 2
            continue
        if left == 2 and tail is None and len(title.text) < _LONG:
            why = "a short text with nothing behind it; the page may end within the abstract"
            unparsed.append(Unparsed(title.number, f"{title.text}\n\n{lines[at + 1].text}", why))
            return
        if len(title.text) >= _LONG:
            why = "a long line where a title was expected"
        else:
            why = "a title without an abstract" if left > 1 or tail else "the page ends before the abstract"
        lost = f"{title.text}\n\n{tail.text}" if tail and left == 1 else title.text
        unparsed.append(Unparsed(title.number, lost, why))
        at += 1


def _paper(
    title: str, abstract: str, tail: _Tail, published: date | None, rank: int, count_means: CountMeans
) -> FeedPaper:
    count = tail.date.count if tail.date else None
    extra = {"tail_count": count, "byline": tail.byline}
    return FeedPaper(
        title=title,
        abstract=abstract,
        published=published,
        date_inferred=published is not None and tail.date is not None and tail.date.year is None,
        authors_count=tail.authors,
        organization=_organization(tail.byline) if tail.byline else None,
        comments=count if count_means == "comments" else None,
        upvotes=count if count_means == "upvotes" else None,
        links=links_in(abstract),
        source="page",
        rank=rank,
        extra={key: value for key, value in extra.items() if value is not None},
    )


def _organization(byline: str) -> str:
    """Return the name that a page shows for an organisation, without the login that its avatar's alt text adds."""
    login, _, name = byline.partition(" ")
    bare, wanted = _letters(login), _letters(name)
    return name if bare and wanted and (bare.startswith(wanted) or wanted.startswith(bare)) else byline


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
