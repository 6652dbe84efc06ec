"""Every format is read back by a reader of its own, and says what the papers say."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import date

import bibtexparser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_papers import MOMENT, sample_papers, stored

from trued.errors import InputError
from trued.feed.export import FORMATS, export, format_of
from trued.feed.export.bibtex import to_bibtex
from trued.feed.export.csv import COLUMNS
from trued.feed.paper import Author, Link
from trued.feed.sources.bibtex import parse_bibtex
from trued.feed.sources.daily_json import parse_daily_json
from trued.feed.store.records import StoredPaper
from trued.papers import catalogue


def bibtex(*papers):
    library = bibtexparser.parse_string(to_bibtex(papers))
    assert not library.failed_blocks
    return {entry.key: entry for entry in library.entries}


def test_bibtex_says_what_is_known_and_no_more() -> None:
    entries = bibtex(*sample_papers())

    first = entries["xhonneux2024efficient"]
    assert first.entry_type == "misc"
    assert {name: field.value for name, field in first.fields_dict.items()} == {
        "title": "Efficient Training in {LLMs} with Continuous Attacks",
        "author": "Xhonneux, Sophie and Schwinn, Leo",
        "year": "2024",
        "month": "may",
        "eprint": "2405.15589",
        "archivePrefix": "arXiv",
        "primaryClass": "cs.LG",
        "url": "https://arxiv.org/abs/2405.15589",
    }
    second = entries["berg1905electrodynamics"].fields_dict
    assert second["author"].value == "van der Berg, Jr., Ludwig and Lovelace, Ada"
    assert second["journal"].value == "Annals of Physics 17 (1905)"
    assert second["year"].value == "1905"
    assert second["url"].value == "https://doi.org/10.1000/xyz_1(2)"
    assert "eprint" not in second
    assert entries["berg1905electrodynamics"].entry_type == "article"
    assert entries["roe1999masked"].fields_dict["author"].value == "Roe, Jane and others"
    assert "Secret" not in to_bibtex(sample_papers())
    unknown = entries["klingteamnothing"].fields_dict
    assert set(unknown) == {"title", "organization"}


@pytest.mark.parametrize(
    "title",
    [
        "The {Ising} model of {New York} in {{BERT}}",
        r"{\"O}zil and the {$L_2$} norm: 5\% of {R\&D}",
        "{The Whole Title is Protected}",
        "Nothing is protected here",
    ],
)
def test_a_title_keeps_its_protective_braces_from_file_to_file(title: str) -> None:
    text = f"@misc{{key,\n  title = {{{title}}},\n}}"
    for _ in range(2):
        (paper,) = parse_bibtex(text).papers
        text = to_bibtex([StoredPaper(1, paper, None, MOMENT, MOMENT, 0.0)])
        assert f"  title = {{{title}}}," in text.splitlines()
    renamed = replace(paper, title="Another Title of LLMs")
    assert "{Another Title of {LLMs}}" in to_bibtex([StoredPaper(1, renamed, None, MOMENT, MOMENT, 0.0)])


@pytest.mark.parametrize("slug", catalogue.slugs())
def test_an_export_that_is_read_and_exported_again_is_the_same(slug: str) -> None:
    once = to_bibtex([stored(catalogue.card(slug).title)])
    (paper,) = parse_bibtex(once).papers
    assert to_bibtex([StoredPaper(1, paper, None, MOMENT, MOMENT, 0.0)]) == once


def test_proceedings_are_no_journal() -> None:
    (entry,) = bibtex(
        stored("T", "A B", journal="Proceedings of ICML 2023, pp. 1--10", published=date(2022, 5, 1))
    ).values()
    assert entry.entry_type == "inproceedings"
    assert entry.fields_dict["booktitle"].value == "Proceedings of ICML 2023, pp. 1--10"
    assert entry.fields_dict["year"].value == "2023"
    (entry,) = bibtex(stored("T", "A B", journal="Phys. Rev. D 71 (2005) 1923")).values()
    assert (entry.entry_type, entry.fields_dict["year"].value) == ("article", "2005")
    assert "month" not in entry.fields_dict


def test_names_can_not_become_two_authors() -> None:
    (entry,) = bibtex(stored("T", "Barnes and Noble", "Ada Lovelace", "others")).values()
    parts = entry.fields_dict["author"].value
    assert parts == "{Barnes and Noble} and Lovelace, Ada and {others}"


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_whatever_a_feed_says_the_file_holds_one_entry(title: str, name: str, journal: str) -> None:
    paper = stored(
        " ".join(title.split()), " ".join(name.split()), journal=" ".join(journal.split()), arxiv="2401.00001"
    )
    after = stored("Last One", "Z Zed", arxiv="2401.00002")
    entries = bibtex(paper, after)
    assert len(entries) == 2
    assert entries["zedlast"].fields_dict["eprint"].value == "2401.00002"


def ris(text: str) -> list[dict[str, list[str]]]:
    entries: list[dict[str, list[str]]] = [{}]
    for line in text.split("\r\n"):
        if not line:
            continue
        assert line[2:5] == "  -"
        if line.startswith("ER"):
            entries.append({})
        else:
            entries[-1].setdefault(line[:2], []).append(line[6:])
    assert entries.pop() == {}
    return entries


def test_ris() -> None:
    first, second, third, last = ris(export(sample_papers(), "ris").text)
    assert first == {
        "TY": ["UNPB"], "TI": ["Efficient Training in LLMs with Continuous Attacks"],
        "AU": ["Xhonneux, Sophie", "Schwinn, Leo"], "PY": ["2024"], "DA": ["2024/05/24"], "PB": ["arXiv"],
        "M1": ["arXiv:2405.15589"], "AB": ["Attacks at 50% of the cost & more."], "KW": ["cs.LG", "cs.CR"],
        "UR": ["https://arxiv.org/abs/2405.15589"], "L2": ["https://github.com/a/b"],
    }  # fmt: skip
    assert second["TY"] == ["JOUR"]
    assert second["T2"] == ["Annals of Physics 17 (1905)"]
    assert third["AU"] == ["Roe, Jane"]
    assert set(last) == {"TY", "TI"}


def test_a_line_break_can_not_begin_a_ris_tag() -> None:
    (entry,) = ris(export([stored("A\r\nER  - \r\nTY  - JOUR")], "ris").text)
    assert entry["TI"] == ["A ER - TY - JOUR"]


def test_csl() -> None:
    first, second, third, last = json.loads(export(sample_papers(), "csl").text)
    assert first["id"] == "xhonneux2024efficient"
    assert first["type"] == "article"
    assert first["issued"] == {"date-parts": [[2024, 5, 24]]}
    assert first["author"][0] == {"family": "Xhonneux", "given": "Sophie"}
    assert second["type"] == "article-journal"
    assert second["issued"] == {"date-parts": [[1905]]}
    assert second["author"][0] == {
        "family": "Berg", "given": "Ludwig", "non-dropping-particle": "van der", "suffix": "Jr.",
    }  # fmt: skip
    assert len(third["author"]) == 1
    assert last == {"id": "klingteamnothing", "type": "article", "title": "Nothing Known"}


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(export(sample_papers(), "csv").text)))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["authors"] == "Sophie Xhonneux; Leo Schwinn"
    assert (rows[0]["upvotes"], rows[0]["comments"], rows[0]["trued"]) == ("12", "2", "c-advul")
    assert rows[3]["upvotes"] == ""  # unknown, and not zero
    assert [row["title"] for row in rows] == [one.paper.title for one in sample_papers()]


@pytest.mark.parametrize("title", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(title: str) -> None:
    (row,) = csv.DictReader(io.StringIO(export([stored(title)], "csv").text))
    assert row["title"] == f"'{title}"


def test_json_lines_are_read_back_by_the_reader_of_daily_papers() -> None:
    committed = [
        *sample_papers(),
        stored("Voted", uid=5, votes=3, links=(Link("https://x.org/p", "project"),), submitted_by="ada"),
    ]
    lines = export(committed, "jsonl").text.splitlines()
    assert len(lines) == len(committed)
    read = parse_daily_json([json.loads(line) for line in lines])
    assert not read.refused
    for one, back in zip(committed, read.papers, strict=True):
        paper = one.paper
        for name in ("title", "abstract", "arxiv", "published", "organization", "categories", "links", "comments"):
            assert getattr(back, name) == getattr(paper, name), name
        assert back.authors == tuple(author for author in paper.authors if not author.hidden)
    assert read.papers[0].upvotes == 12
    assert read.papers[3].upvotes is None
    assert read.papers[4].upvotes == 3
    assert read.papers[4].submitted_by == "ada"
    assert "Secret" not in "".join(lines)


def test_markdown_is_escaped() -> None:
    evil = stored(
        "[x](javascript:alert(1)) <script>", "A *B*", doi="10.1/a(b) c",
        links=(Link("https://x.org/a(b)>c", "code"),), slug="talon",
    )  # fmt: skip
    text = export([evil], "markdown").text
    assert text.count("\n") == 1
    assert r"[\[x\](javascript:alert(1)) \<script\>]" in text
    assert "(https://doi.org/10.1/a%28b%29%20c)" in text
    assert "[code](https://x.org/a%28b%29%3Ec)" in text
    assert r"A \*B\*" in text
    assert "`trued papers show talon`" in text


def test_authors_that_are_not_known_are_told() -> None:
    made = export(sample_papers(), "bibtex")
    assert len(made.warnings) == 1
    assert made.warnings[0].startswith("1 paper has no authors' names")
    assert "--resolve" in made.warnings[0]
    assert export(sample_papers(), "csv").warnings == ()
    hidden = stored(authors=(Author("X", hidden=True),))
    assert export([hidden, hidden], "ris").warnings[0].startswith("2 papers have")


@pytest.mark.parametrize("format", FORMATS)
def test_no_papers_are_an_empty_file(format) -> None:
    assert export([], format).text in ("", "[]\n", ",".join(COLUMNS) + "\r\n")


def test_the_format_is_found_by_the_ending() -> None:
    assert {name: format_of(f"a.b.{kind.suffix.upper()}") for name, kind in FORMATS.items()} == {
        name: name for name in FORMATS
    }
    with pytest.raises(InputError, match=r"'library\.json' does not say its format; end it in one of \.bib"):
        format_of("library.json")
    with pytest.raises(InputError, match=r"there is no format 'bibtx'.*did you mean bibtex"):
        export([], "bibtx")  # pyright: ignore[reportArgumentType]
