"""A file is told by what is in it, and what is none of the forms gets its sentence."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.feed.sources import files as sources
from trued.feed.sources.files import read_bytes, read_file
from trued.texts import has_half

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
        ("line 3", "its JSON cannot be read: not valid JSON (Unterminated string starting at at character 60)"),
        ("line 2", "it has no title"),
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
        (b"title\x00\x01\x02", "x is no text, for it contains zero bytes"),
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


# -- files as people have them -----------------------------------------------------------------------------------------

NAMED = '<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>Wälz</title></entry></feed>'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "ISO-8859-1", "windows-1252", "utf-16", "koi8-r", "shift_jis", "gb18030"]
)
def test_xml_is_read_in_the_encoding_that_it_declares(encoding: str) -> None:
    title = "車輪" if encoding in ("shift_jis", "gb18030") else "Колесо" if encoding == "koi8-r" else "Wälz"
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n{NAMED.replace("Wälz", title)}'

    assert read_bytes(text.encode(encoding), "x").papers[0].title == title


def test_a_web_page_is_read_in_the_encoding_that_it_declares() -> None:
    page = (
        '<!doctype html><html><head><meta charset="latin-1"><meta name="citation_title" content="Wälz"></head></html>'
    )

    assert read_bytes(page.encode("latin-1"), "x").papers[0].title == "Wälz"


@pytest.mark.parametrize(
    ("encoding", "data", "message"),
    [
        ("none-such", NAMED.encode(), "x is no text in none-such, the encoding that it declares; save it as UTF-8"),
        ("utf-8", NAMED.encode("latin-1"), "x is no text in utf-8"),
        ("hex", NAMED.encode(), "x is no text in hex"),
    ],
)
def test_a_declaration_that_is_not_true_is_told(encoding: str, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_bytes(f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + data, "x")


def test_words_before_the_first_entry_of_bibtex_are_passed_over() -> None:
    words = "Automatically generated by a tool\nAny changes to this file will be lost.\n\n"

    (paper,) = read_bytes(f"{words}@article{{r2020,\n title = {{{{Wheels}}}},\n}}".encode(), "x").papers
    assert (paper.title, paper.source) == ("Wheels", "bibtex")
    assert read_bytes(f"{PAGE}\n\nAsk @ada (Spoke)\n".encode(), "x").papers[0].source == "page"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"title": "T", "x": "[[" * 60}, None),
        ('{"title": "T", "x": ' + "[" * 200 + "]" * 200 + "}", "its JSON cannot be read: nested more than 100 levels"),
        ('{"title": "T", "x": ' + "9" * 5000 + "}", "a number of 5,000 digits"),
        ('{"title": "T", "title": "U"}', "has the key 'title' twice"),
    ],
)
def test_json_that_is_too_deep_too_long_or_double_is_told(item: object, message: str | None) -> None:
    text = item if isinstance(item, str) else json.dumps(item)
    for data in (text, f"[{text}]", f'{{"title": "One"}}\n{text}'):
        if message is None or "\n" in data:
            reading = read_bytes(data.encode(), "x")
            assert len(reading.papers) + len(reading.refused) == 1 + ("\n" in data)
            assert [one.where for one in reading.refused] == ["line 2"] * (message is not None)
        else:
            with pytest.raises(InputError, match=message):
                read_bytes(data.encode(), "x")


def test_half_of_an_emoji_is_replaced() -> None:
    (paper,) = read_bytes(rb'{"title": "Wheels \ud83d", "x": "\ud83d", "authors": [{"name": ":"}]}', "x").papers

    assert (paper.title, paper.extra, paper.authors) == ("Wheels \ufffd", {"x": "\ufffd"}, ())


_PIECES = st.sampled_from(
    [
        b"@article{k,", b"@string{a = {b}}", b"@comment{", b"title = {A}", b'"', b"{", b"}", b",", b"=", b"#", b"\\",
        b"\n", b"month = 23 # may", b"year = 2020", b"author = {A and B, C, D, E and }", b"crossref = {k}",
        b"date={2020-99}", b'<?xml version="1.0" encoding="', b'utf-8"?>', b"hex", b"shift_jis",
        b"<feed xmlns='http://www.w3.org/2005/Atom'>", b"<entry>", b"<title type='html'>", b"&lt;b&gt;&amp;#xD83D;",
        b"</title>", b"</entry>", b"</feed>", b"<!doctype html>", b"<meta name='citation_title' content='A'>",
        b'{"title": "A', b'\\ud83d"}', b"[", b"]", b'{"published": "20', b"\xff\xfe",
    ]
)  # fmt: skip


@given(st.binary(max_size=60) | st.lists(_PIECES, max_size=14).map(b"".join))
def test_any_bytes_give_papers_or_an_input_error(data: bytes) -> None:
    try:
        reading = read_bytes(data, "x")
    except InputError:
        return
    assert reading.papers or reading.refused
    for paper in reading.papers:
        texts = [paper.title, paper.abstract, dict(paper.extra), str(paper.authors)]
        assert not has_half(json.dumps(texts, ensure_ascii=False))
