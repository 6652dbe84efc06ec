"""A BibTeX file as a source of papers: what a reference manager or a publisher writes.

Knows BibTeX's and BibLaTeX's fields, and TeX in them. Knows nothing of writing BibTeX: that is the export's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trued.feed.dates import note
from trued.feed.identifiers import arxiv_id, cited_arxiv_id, doi, first_doi
from trued.feed.links import link, links_in, merged
from trued.feed.paper import Author, FeedPaper
from trued.feed.sources.bibtex_date import published
from trued.feed.sources.bibtex_value import BrokenValueError, value_of
from trued.feed.sources.reading import Reading, is_name, one_line, without_markup
from trued.feed.store.records import Refusal

if TYPE_CHECKING:
    from bibtexparser.model import Entry

_USED = frozenset({
    "title", "abstract", "author", "eprint", "eprinttype", "archiveprefix", "primaryclass", "doi", "journal",
    "journaltitle", "booktitle", "url", "date", "year", "month", "day", "keywords", "crossref",
})  # fmt: skip
_OWN = frozenset({
    "title", "shorttitle", "subtitle", "author", "abstract", "pages", "doi", "url", "eprint", "eprinttype",
    "archiveprefix", "primaryclass", "keywords", "note", "crossref", "journal", "journaltitle", "label", "key",
})  # fmt: skip
_ADDRESSES = frozenset({"url", "doi", "eprint"})
_ARXIV_JOURNAL = re.compile(r"arxiv\b|corr\b|ar5iv\b", re.IGNORECASE)


def parse_bibtex(text: str) -> Reading:
    """Read the entries of a BibTeX file; an entry that BibTeX itself would stumble over is refused, with its line.

    A date without a day, as most entries have it, stands for the first day of its month or year and counts as inferred;
    how much of it is known is noted (see `trued.feed.dates`). TeX accents and braces become plain text; formulas stay
    as they are. The title as it stands is kept beside that, so that an export gives its protective braces back. Of a
    field that stands twice the first counts, and an entry inherits from the one that its crossref names.
    """
    import bibtexparser  # brings a parser along that no other source needs
    from bibtexparser.model import DuplicateBlockKeyBlock, DuplicateFieldKeyBlock, Entry, ParsingFailedBlock, String

    with _silent("bibtexparser"):
        # Only the splitting is the library's: of the values it would keep what a forgotten comma has run together.
        blocks = bibtexparser.parse_string(text, parse_stack=[]).blocks
    entries: list[_Entry] = []
    refused: list[Refusal] = []
    macros: dict[str, str] = {}
    for block in blocks:
        if isinstance(block, DuplicateBlockKeyBlock | DuplicateFieldKeyBlock):
            block = block.ignore_error_block  # the same key twice need not be the same paper
        where = f"line {(block.start_line or 0) + 1}" if block is not None else ""
        if isinstance(block, String):
            with suppress(BrokenValueError):
                macros[block.key.lower()] = value_of(block.value, macros)
        elif isinstance(block, Entry):
            try:
                entries.append(_Entry(where, block.key, block.entry_type, _fields(block, macros)))
            except _FieldError as error:
                refused.append(Refusal(f"{where}, {block.key}", str(error)))
        elif isinstance(block, ParsingFailedBlock):
            lost = one_line(block.raw)[:60]
            why = f"{lost!r} is no whole BibTeX entry; look for a brace that is not closed or a comma that is missing"
            refused.append(Refusal(where, why))
    papers: list[FeedPaper] = []
    parents = {entry.key.lower(): entry.fields for entry in reversed(entries)}
    for entry in entries:
        fields = _inherited(entry.fields, parents.get(entry.fields.get("crossref", "").strip().lower(), {}))
        paper = _paper(fields, entry.kind, entry.key)
        if paper is None:
            refused.append(Refusal(f"{entry.where}, {entry.key}", "it has no title"))
        else:
            papers.append(paper)
    refused.sort(key=lambda refusal: int(refusal.where.removeprefix("line ").partition(",")[0]))
    return Reading(tuple(papers), tuple(refused), source="BibTeX")


@dataclass(frozen=True)
class _Entry:
    where: str
    key: str
    kind: str
    fields: dict[str, str]


class _FieldError(ValueError):
    """A field is not to be read; the message says why."""


def _fields(entry: Entry, macros: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of an entry's fields by their names in lower case, without HTML; of two the first counts."""
    fields: dict[str, str] = {}
    for field in entry.fields:
        try:
            value = value_of(field.value, macros)
        except BrokenValueError as error:
            line = (field.start_line or 0) + field.value.count("\n", 0, error.at) + 1
            rest = one_line(field.value[error.at :])[:40]
            raise _FieldError(
                f"its field {field.key!r} goes on with {rest!r} in line {line}; look for a missing comma"
            ) from None
        fields.setdefault(field.key.lower(), without_markup(value))
    return fields


def _inherited(fields: Mapping[str, str], parent: Mapping[str, str]) -> dict[str, str]:
    """Return an entry's fields with those of the entry that its crossref names: its book, and when it came out."""
    dated = any(fields.get(name) for name in ("date", "year"))
    passed_on = {
        name: value for name, value in parent.items()
        if name not in _OWN and not (dated and name in ("date", "year", "month", "day"))
    }  # fmt: skip
    if book := parent.get("booktitle") or parent.get("title"):
        passed_on["booktitle"] = book
    return passed_on | {name: value for name, value in fields.items() if value.strip()}


def _paper(fields: Mapping[str, str], kind: str, key: str) -> FeedPaper | None:
    text = {name: _address(value) if name in _ADDRESSES else _plain(value) for name, value in fields.items()}
    title = text.get("title", "")
    if not title:
        return None
    tex_title = one_line(fields["title"])
    journal = text.get("journal") or text.get("journaltitle") or text.get("booktitle") or ""
    arxiv = _arxiv(text, journal)
    known = published(fields)
    primary = text.get("primaryclass")
    return FeedPaper(
        title=title,
        abstract=text.get("abstract", ""),
        arxiv=arxiv[0] if arxiv else None,
        version=arxiv[1] if arxiv else None,
        published=known[0] if known else None,
        date_inferred=known is not None and known[1] != "day",
        authors=_authors(fields.get("author", "")),
        categories=(primary,) if primary else (),
        links=merged((_link(text.get("url")),), links_in(text.get("abstract", ""))),
        doi=first_doi(text.get("doi", "")),
        journal=journal if journal and not _ARXIV_JOURNAL.match(journal) else None,
        source="bibtex",
        extra={"bibtex": key, "type": kind}
        | ({"tex_title": {"plain": title, "tex": tex_title}} if tex_title != title else {})
        | {name: value for name, value in text.items() if name not in _USED and value}
        | ({"keywords": text["keywords"]} if text.get("keywords") else {})
        | note(known),
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


def _authors(names: str) -> tuple[Author, ...]:
    from bibtexparser.middlewares.names import parse_single_name_into_parts, split_multiple_persons_names

    authors = []
    for name in split_multiple_persons_names(names):
        if name.strip().casefold() == "others":
            continue
        if name.strip().startswith("{") and name.strip().endswith("}"):  # an organisation
            plain = _plain(name)
        else:
            parts = parse_single_name_into_parts(name.strip(), strict=False)
            order = (*parts.first, *parts.von, *parts.last, *parts.jr)
            plain = _plain(" ".join(order))
        if is_name(plain):
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
