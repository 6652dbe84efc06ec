"""A file is told by what is in it, and what is none of the forms gets its sentence."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

from trued.errors import InputError
from trued.feed.sources import files as sources
from trued.feed.sources.files import read_bytes, read_file

LONG = "We turn one spoke after another, and measure how straight the wheel is. " * 4
HEADER = "Daily Papers\n\nbyAK and the research community\n\nDec 10\n\n"
PAGE = f"{HEADER}Straight Wheels\n\n{LONG}\n\n  • 4 authors\n·\nApr 4 2"
ITEM = {"paper": {"id": "2512.01234", "title": "Straight Wheels", "upvotes": 3}}
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><entry>
<id>http://arxiv.org/abs/2405.15589v1</id><title>Straight Wheels</title></entry></feed>"""
FORMS = {
    "page": (PAGE, "page"),
    "daily": (json.dumps([ITEM]), "huggingface"),
    "one": (json.dumps(ITEM["paper"]), "huggingface"),
    "lines": (f"{json.dumps(ITEM)}\n\n{json.dumps(ITEM)}\n", "huggingface"),
    "atom": (ATOM, "arxiv"),
    "bibtex": ("% by a tool\n@misc{k, title = {Straight Wheels}}", "bibtex"),
    "html": ('<!doctype html><meta name="citation_title" content="Straight Wheels">', "web"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_is_recognised(form: str, encoding: str, tmp_path: Path) -> None:
    text, source = FORMS[form]
    path = tmp_path / "papers"  # the name tells nothing
    # XML names its own encoding, and needs no mark
    path.write_bytes(("\n  " * (form != "atom") + text).encode("utf-8" if form == "atom" else encoding))

    papers = read_file(path).papers

    assert {(paper.title, paper.source) for paper in papers} == {("Straight Wheels", source)}
    assert len(papers) == (2 if form == "lines" else 1)


def test_the_page_s_options_arrive(tmp_path: Path) -> None:
    read = read_bytes(PAGE.encode(), "x", page_year=2023, count_means="upvotes")
    assert (read.papers[0].upvotes, read.papers[0].published) == (2, date(2023, 4, 4))
    assert read.source == "the page of 2023-12-10"

    spoilt = (PAGE + "\n\nstray\n\n" + PAGE.removeprefix(HEADER)).encode()
    read = read_bytes(spoilt, "x", page_year=2025)
    assert [(one.where, one.why) for one in read.refused] == [("line 15", "'stray': a title without an abstract")]
    with pytest.raises(InputError, match=r"x: line 15: 'stray' is not understood"):
        read_bytes(spoilt, "x", page_year=2025, strict=True)


def test_a_spoilt_line_of_json_lines_is_refused(tmp_path: Path) -> None:
    read = read_bytes(f"{json.dumps(ITEM)}\n{json.dumps({'id': 1})}\n{json.dumps(ITEM)[:-9]}".encode(), "x")

    assert len(read.papers) == 1
    assert [(one.where, one.why) for one in read.refused] == [
        ("line 3", "it is no JSON"),
        ("entry 2", "it has no title"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x is empty; expected the page's text"),
        (b"\xef\xbb\xbf\n \r\n", "x is empty"),
        (b"%PDF-1.7 ...", "x is a PDF: give the paper's arXiv id, DOI or address instead"),
        (gzip.compress(b"text", mtime=0), "x is packed with gzip: unpack it first"),
        (b"PK\x03\x04rest", "x is a packed archive"),
        (b"SQLite format 3\x00rest", "x is a database"),
        (b"title\x00\x01\x02", "x is binary"),
        (b"caf\xe9 wheels", r"x is no text in UTF-8 \(byte 3 is 0xe9\); save it as UTF-8"),
        (b"[{", "x: it begins like JSON and is none .* perhaps it was cut off"),
        (b"{\n{\n{", "it begins like JSON and is none"),
        (b"[" * 100_000, "x: "),
        (b"[]", "x has no paper that can be read; expected"),
        (b'[{"id": 1}]', r"x has no paper that can be read \(entry 1: it has no title\)"),
        (b"<rss/>", "x: the XML is a <rss>"),
        (b"<!DOCTYPE html><html>the daily papers", "x: this is a web page's HTML, expected its text"),
        (b"@misc{k, year = 1}", r"no paper that can be read \(line 1, k: it has no title\)"),
        (b"just words", r"no paper that can be read \(line 1: 'just words'"),
    ],
)  # fmt: skip
def test_what_is_none_of_the_forms_is_told(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_bytes(data, "x")


def test_a_file_that_is_not_there_a_folder_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="missing can't be read: No such file"):
        read_file(tmp_path / "missing")
    with pytest.raises(InputError, match="is a folder; give a file"):
        read_file(tmp_path)
    monkeypatch.setattr(sources, "LARGEST", 1 << 20)
    (tmp_path / "large").write_bytes(b"x" * (1 << 20) + b"x")
    with pytest.raises(InputError, match="large has more than 1 MiB"):
        read_file(tmp_path / "large")
