"""A file of papers, in whichever of the forms: the page's text, Hugging Face's JSON, JSON Lines, Atom, BibTeX.

Knows how to tell the forms apart, and what is none of them. Knows nothing of the network or of stores.
"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path

from trued.errors import InputError
from trued.feed.sources.daily_json import parse_daily_json
from trued.feed.sources.highwire import parse_highwire
from trued.feed.sources.reading import Reading
from trued.feed.sources.text_page import CountMeans, parse_page
from trued.feed.store.records import Refusal
from trued.texts import decoded as decoded_text
from trued.texts import encoding_of, read_json, whole

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
_BIBTEX = re.compile(r"\s*@[A-Za-z]+\s*[{(]")
_ENTRY = re.compile(
    r"^[ \t]*@(?!comment|preamble|string)[A-Za-z]+[ \t]*[{(][^\s,{}()=]*\s*,", re.MULTILINE | re.IGNORECASE
)
_DECLARATION = re.compile(r"\A\s*<\?xml\s[^>]*\?>")
_HEAD = 2_048  # bytes among which a declaration stands
_DECLARED = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""")
_META = re.compile(
    rb"""\A\s*(?:<!--.*?-->\s*)?<(?:!doctype|html|head)\b.*?<meta\s[^>]*?charset\s*=\s*["']?([\w.:-]+)""",
    re.IGNORECASE | re.DOTALL,
)
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
    """Return the text of a file: UTF-8, UTF-16 with its mark, or what XML and HTML declare.

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
    try:
        declared = _DECLARED.match(data[:_HEAD]) or _META.search(data[:_HEAD])
        if declared is None or encoding_of(data) != "utf-8-sig" or data.startswith(codecs.BOM_UTF8):
            return decoded_text(data)
        return _in(data, declared[1].decode("ascii"))
    except InputError as error:
        raise InputError(f"{name} is {error}") from None


def _in(data: bytes, encoding: str) -> str:
    """Return the text of XML or HTML in the encoding that it declares."""
    try:
        if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
            return decoded_text(data)  # the declaration could be read, so it is not true
        text = whole(data.decode(encoding))  # some of Python's own encodings have escapes of half characters
    except (LookupError, UnicodeError):
        raise InputError(f"no text in {encoding[:40]}, the encoding that it declares; save it as UTF-8") from None
    if "\x00" in text:
        raise InputError("no text, for it contains zero bytes; save it as UTF-8")
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

        return parse_arxiv_atom(_DECLARATION.sub("", text, count=1).encode()).reading
    # Reference managers write words of their own before the first entry.
    if _BIBTEX.match(start) or _ENTRY.search(start):
        from trued.feed.sources.bibtex import parse_bibtex

        return parse_bibtex(text)
    page = parse_page(text, page_year, strict, count_means)
    refused = tuple(Refusal(f"line {piece.line}", f"{_short(piece.text)!r}: {piece.why}") for piece in page.unparsed)
    of_date = f" of {page.page_date}" if page.page_date else ""
    return Reading(page.papers, refused, source=f"the page{of_date}")


def _json(text: str) -> Reading:
    """Read JSON; or JSON Lines, if every line is JSON of its own."""
    try:
        answer = read_json(text, halves="replace")
    except InputError as error:
        return _json_lines(text, error)
    return parse_daily_json(answer)


def _json_lines(text: str, as_one: InputError) -> Reading:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    items, refused = [], []
    for number, line in lines if len(lines) > 1 else []:
        try:
            items.append((number, read_json(line, halves="replace")))
        except InputError as error:
            refused.append(Refusal(f"line {number}", f"its JSON cannot be read: {error}"))
    broken = sum("not valid JSON" in refusal.why for refusal in refused)
    if not items or broken > 1 or not isinstance(items[0][1], dict):
        if str(as_one).startswith("not valid JSON"):
            raise InputError(f"it begins like JSON and is none ({as_one}); perhaps it was cut off")
        raise InputError(f"its JSON cannot be read: {as_one}")
    read = parse_daily_json([item for _, item in items])
    numbers = {f"entry {place}": f"line {number}" for place, (number, _) in enumerate(items, start=1)}
    refused += [Refusal(numbers.get(refusal.where, refusal.where), refusal.why) for refusal in read.refused]
    return Reading(read.papers, tuple(refused), source="JSON Lines")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
