"""A BibTeX file as a source of papers: what a reference manager or a publisher writes.

Knows BibTeX's and BibLaTeX's fields, and TeX in them. Knows nothing of writing BibTeX: that is the export's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from trued.feed.identifiers import arxiv_id, cited_arxiv_id, doi
from trued.feed.links import link, links_in, merged
from trued.feed.paper import Author, FeedPaper
from trued.feed.sources.reading import Reading, one_line
from trued.feed.store.records import Refusal

if TYPE_CHECKING:
    from bibtexparser import Library

_USED = frozenset({
    "title", "abstract", "author", "eprint", "eprinttype", "archiveprefix", "primaryclass", "doi", "journal",
    "journaltitle", "booktitle", "url", "date", "year", "month", "day", "keywords",
})  # fmt: skip
_ADDRESSES = frozenset({"url", "doi", "eprint"})
_DATE = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d\d?))?(?:-(?P<day>\d\d?))?")
_ARXIV_JOURNAL = re.compile(r"arxiv\b|corr\b|ar5iv\b", re.IGNORECASE)


def parse_bibtex(text: str) -> Reading:
    """Read the entries of a BibTeX file; an entry that BibTeX itself would stumble over is refused, with its line.

    A date without a day, as most entries have it, stands for the first day of its month or year and counts as inferred.
    TeX accents and braces become plain text; formulas stay as they are. The title as it stands is kept beside that, so
    that an export gives its protective braces back.
    """
    # Imported here, since they bring parsers along that no other source needs.
    import bibtexparser
    from bibtexparser.middlewares import MonthIntMiddleware, NormalizeFieldKeys, SeparateCoAuthors
    from bibtexparser.model import DuplicateBlockKeyBlock, Entry, ParsingFailedBlock

    def parsed(text: str) -> Library:
        middleware = [NormalizeFieldKeys(), MonthIntMiddleware(), SeparateCoAuthors()]
        with _silent("bibtexparser"):
            return bibtexparser.parse_string(text, append_middleware=middleware)

    library = parsed(text)
    strings = "\n".join(string.raw or "" for string in library.strings)
    papers: list[FeedPaper] = []
    refused: list[Refusal] = []
    for block in library.blocks:
        where = f"line {(block.start_line or 0) + 1}"
        if isinstance(block, DuplicateBlockKeyBlock):
            # The same key twice need not be the same paper. The library leaves such an entry as it stands.
            block = next(iter(parsed(f"{strings}\n{block.raw}").entries), block)
        if isinstance(block, Entry):
            fields = {field.key: field.value for field in block.fields}
            paper = _paper(fields, block.entry_type, block.key)
            if paper is None:
                refused.append(Refusal(f"{where}, {block.key}", "it has no title"))
            else:
                papers.append(paper)
        elif isinstance(block, ParsingFailedBlock | DuplicateBlockKeyBlock):
            lost = one_line(block.raw)[:60]
            refused.append(Refusal(where, f"{lost!r} is no whole BibTeX entry; look for a brace that is not closed"))
    return Reading(tuple(papers), tuple(refused), source="BibTeX")


def _paper(fields: Mapping[str, Any], kind: str, key: str) -> FeedPaper | None:
    text = {
        name: _address(value) if name in _ADDRESSES else _plain(value)
        for name, value in fields.items()
        if isinstance(value, str)
    }
    title = text.get("title", "")
    if not title:
        return None
    tex_title = one_line(fields["title"])
    journal = text.get("journal") or text.get("journaltitle") or text.get("booktitle") or ""
    arxiv = _arxiv(text, journal)
    published, exact = _published(fields)
    primary = text.get("primaryclass")
    return FeedPaper(
        title=title,
        abstract=text.get("abstract", ""),
        arxiv=arxiv[0] if arxiv else None,
        version=arxiv[1] if arxiv else None,
        published=published,
        date_inferred=published is not None and not exact,
        authors=_authors(fields.get("author")),
        categories=(primary,) if primary else (),
        links=merged((_link(text.get("url")),), links_in(text.get("abstract", ""))),
        doi=doi(text.get("doi", "")),
        journal=journal if journal and not _ARXIV_JOURNAL.match(journal) else None,
        source="bibtex",
        extra={"bibtex": key, "type": kind}
        | ({"tex_title": {"plain": title, "tex": tex_title}} if tex_title != title else {})
        | {name: value for name, value in text.items() if name not in _USED and value}
        | ({"keywords": text["keywords"]} if text.get("keywords") else {}),
    )


def _arxiv(text: Mapping[str, str], journal: str) -> tuple[str, int | None] | None:
    kind = (text.get("archiveprefix") or text.get("eprinttype") or "arxiv").casefold()
    if kind == "arxiv" and (arxiv := arxiv_id(text.get("eprint", ""))):
        return arxiv
    for name in ("url", "doi"):
        if arxiv := arxiv_id(text.get(name, "")):
            return arxiv
    for cited in (journal, text.get("note", ""), text.get("howpublished", "")):
        if arxiv := cited_arxiv_id(cited):
            return arxiv
    return None


def _published(fields: Mapping[str, Any]) -> tuple[date | None, bool]:
    """Return the day, and whether the entry gives it whole."""
    parts = _DATE.match(str(fields.get("date") or ""))
    year, month, day = parts.groups() if parts else (fields.get(name) for name in ("year", "month", "day"))
    digits = re.search(r"\d{4}", str(year or ""))
    if digits is None:
        return None, False
    try:
        return date(int(digits[0]), int(month or 1), int(day or 1)), month is not None and day is not None
    except ValueError:
        return None, False


def _authors(names: Any) -> tuple[Author, ...]:
    from bibtexparser.middlewares.names import parse_single_name_into_parts

    authors = []
    for name in names if isinstance(names, list) else []:
        if name.strip().casefold() == "others":
            continue
        if name.strip().startswith("{") and name.strip().endswith("}"):  # an organisation
            plain = _plain(name)
        else:
            parts = parse_single_name_into_parts(name.strip(), strict=False)
            order = (*parts.first, *parts.von, *parts.last, *parts.jr)
            plain = _plain(" ".join(order))
        if plain:
            authors.append(Author(plain))
    return tuple(authors)


def _link(url: str | None) -> Any:
    return None if not url or arxiv_id(url) or doi(url) else link(url)


def _plain(tex: str) -> str:
    """Return TeX as plain text on one line. Bare % and & are signs, as they are in abstracts, and no TeX."""
    if not any(sign in tex for sign in "\\{}~"):
        return one_line(tex)
    from pylatexenc.latex2text import LatexNodes2Text

    escaped = re.sub(r"(?<!\\)([%&])", r"\\\1", tex)
    escaped = escaped.replace(r"\textbraceleft{}", r"\{").replace(r"\textbraceright{}", r"\}")
    try:
        return one_line(LatexNodes2Text(math_mode="verbatim", keep_comments=True).latex_to_text(escaped))
    except (ValueError, RecursionError):
        return one_line(tex)


def _address(tex: str) -> str:
    """Return an address or identifier without TeX's escapes; a tilde belongs to it."""
    return re.sub(r"\\([_%#&~{}])", r"\1", re.sub(r"\\url\{(.*)\}", r"\1", tex)).strip().strip("{}")


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a library from logging what is told in the refusals anyway."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
