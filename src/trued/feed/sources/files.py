"""A file of papers, in whichever of the forms: the page's text, Hugging Face's JSON, JSON Lines, Atom, BibTeX.

Knows how to tell the forms apart, and what is none of them. Knows nothing of the network or of stores.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path

from trued.errors import InputError
from trued.feed.sources.daily_json import parse_daily_json
from trued.feed.sources.highwire import parse_highwire
from trued.feed.sources.reading import Reading
from trued.feed.sources.text_page import CountMeans, parse_page
from trued.feed.store.records import Refusal

LARGEST = 64 << 20  # bytes of a file
_KINDS = {
    b"%PDF": "a PDF: give the paper's arXiv id, DOI or address instead",
    b"PK\x03\x04": "a packed archive: unpack it first",
    b"\x1f\x8b": "packed with gzip: unpack it first",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"SQLite format 3\x00": "a database",
}
_FORMS = "the page's text, Hugging Face's JSON, JSON Lines, arXiv's Atom or BibTeX"
_BIBTEX = re.compile(r"(?:\s*%[^\n]*\n|\s)*@[A-Za-z]+\s*[{(]")
_HTML = re.compile(r"\s*<(?:!doctype\s+html|html|head|body|meta|div)\b", re.IGNORECASE)


def read_file(
    path: str | os.PathLike[str],
    *,
    page_year: int | None = None,
    strict: bool = False,
    count_means: CountMeans = "comments",
) -> Reading:
    """Read a file of papers; the options are those of `parse_page`, for the page's text.

    Raises:
        InputError: no such file, too large, or in none of the forms.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give a file") from None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    return read_bytes(data, str(path), page_year=page_year, strict=strict, count_means=count_means)


def read_bytes(
    data: bytes,
    name: str,
    *,
    url: str | None = None,
    page_year: int | None = None,
    strict: bool = False,
    count_means: CountMeans = "comments",
) -> Reading:
    """Read papers out of the bytes of a file or an answer, whichever form they are in.

    Args:
        data: the bytes.
        name: what to call them in errors.
        url: the address that they came from, for a paper's own web page.
        page_year, strict, count_means: of `parse_page`, for the page's text.

    Raises:
        InputError: they are in none of the forms, or contain no paper.
    """
    text = decoded(data, name)
    try:
        reading = _read(text, data, url, page_year, strict, count_means)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if not reading.papers:
        reason = f" ({reading.refused[0].where}: {reading.refused[0].why})" if reading.refused else ""
        raise InputError(f"{name} has no paper that can be read{reason}; expected {_FORMS}")
    return reading


def decoded(data: bytes, name: str) -> str:
    """Return the text of a file: UTF-8, or UTF-16 with its mark.

    Raises:
        InputError: empty, too large, or no text.
    """
    if len(data) > LARGEST:
        raise InputError(
            f"{name} has more than {LARGEST >> 20} MiB; a page of papers is far smaller: is it another file?"
        )
    if not data.strip(b" \t\r\n\xef\xbb\xbf"):
        raise InputError(f"{name} is empty; expected {_FORMS}")
    for mark, kind in _KINDS.items():
        if data.startswith(mark):
            raise InputError(f"{name} is {kind}; expected {_FORMS}")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is no text in UTF-8 (byte {error.start:,} is {data[error.start]:#04x}); save it as UTF-8"
        ) from None
    if "\x00" in text:
        raise InputError(f"{name} is binary; expected {_FORMS}")
    return text


def _read(
    text: str, data: bytes, url: str | None, page_year: int | None, strict: bool, count_means: CountMeans
) -> Reading:
    start = text.lstrip()
    if start.startswith(("{", "[")):
        return _json(text)
    if _HTML.match(start) and "citation_title" in text:
        return Reading((parse_highwire(text, url),), source=url or "a paper's page")
    if start.startswith("<") and not _HTML.match(start):
        from trued.feed.sources.arxiv_atom import parse_arxiv_atom

        return parse_arxiv_atom(data).reading
    if _BIBTEX.match(start):
        from trued.feed.sources.bibtex import parse_bibtex

        return parse_bibtex(text)
    page = parse_page(text, page_year, strict, count_means)
    refused = tuple(Refusal(f"line {piece.line}", f"{_short(piece.text)!r}: {piece.why}") for piece in page.unparsed)
    of_date = f" of {page.page_date}" if page.page_date else ""
    return Reading(page.papers, refused, source=f"the page{of_date}")


def _json(text: str) -> Reading:
    """Read JSON; or JSON Lines, if every line is JSON of its own."""
    try:
        return parse_daily_json(json.loads(text))
    except RecursionError:
        raise InputError("its JSON is nested too deeply to be a list of papers") from None
    except ValueError as error:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        items, refused = [], []
        for number, line in lines:
            try:
                items.append(json.loads(line))
            except (ValueError, RecursionError):
                refused.append(Refusal(f"line {number}", "it is no JSON"))
        if len(lines) < 2 or not items or len(refused) > 1 or not isinstance(items[0], dict):
            raise InputError(f"it begins like JSON and is none ({error}); perhaps it was cut off") from None
        read = parse_daily_json(items)
        return Reading(read.papers, (*refused, *read.refused), source="JSON Lines")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
