"""BibTeX as people write it: TeX in titles, names in all orders, dates in pieces, braces that don't close."""

from __future__ import annotations

import logging
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.feed.dates import precision
from trued.feed.paper import FeedPaper
from trued.feed.sources.bibtex import parse_bibtex

FILE = r"""
% Encoding: UTF-8
@comment{what a tool left}
@string{jow = "Journal of Wheels"}
@article{spoke2024,
  title   = {{S}traight {W}heels: {\"U}ber $\mathcal{O}(n)$ Turns \& 50% More},
  author  = {Spoke, Ada and Bo van Rim and {Barnes and Noble} and M{\"u}ller, J{\"o}rg and others},
  journal = jow, year = 2024, month = may, doi = {https://doi.org/10.1000/wheels.3},
  abstract = {We gain 50% on \emph{true} wheels. Code: \url{https://github.com/wheels/b\_c}.},
  keywords = {wheels, spokes},
}
@misc{rim2023, title = "Rims", author = "Rim, Bo", eprint = {2305.00001v2}, archivePrefix = {arXiv},
  primaryClass = {cs.LG}, date = {2023-05-02}, url = {https://arxiv.org/abs/2305.00001}}
@article{rim2023, title = {Hubs}, journal = {arXiv preprint arXiv:2306.00002}, year = {2023}}
@inproceedings{tilde, title={Tyres}, booktitle={Proc. of Wheels}, year={in press}, url={https://wheels.org/~ada/x_y}}
"""


def only(entry: str) -> FeedPaper:
    (paper,) = parse_bibtex(entry).papers
    return paper


def test_a_file_is_read_whole() -> None:
    read = parse_bibtex(FILE)
    spoke, rims, hubs, tyres = read.papers

    assert read.refused == ()
    assert spoke.title == r"Straight Wheels: Über $\mathcal{O}(n)$ Turns & 50% More"
    assert [one.name for one in spoke.authors] == ["Ada Spoke", "Bo van Rim", "Barnes and Noble", "Jörg Müller"]
    assert (spoke.journal, spoke.doi) == ("Journal of Wheels", "10.1000/wheels.3")
    assert (spoke.published, spoke.date_inferred) == (date(2024, 5, 1), True)
    assert spoke.abstract.startswith("We gain 50% on true wheels. Code:")
    assert [(one.url, one.kind) for one in spoke.links] == [("https://github.com/wheels/b_c", "code")]
    assert spoke.extra == {
        "bibtex": "spoke2024", "type": "article", "keywords": "wheels, spokes",
        "date_precision": {"published": "2024-05-01", "known": "month"},
        "tex_title": {
            "plain": spoke.title, "tex": r'{S}traight {W}heels: {\"U}ber $\mathcal{O}(n)$ Turns \& 50% More',
        },
    }  # fmt: skip

    assert (rims.arxiv, rims.version, rims.categories, rims.links) == ("2305.00001", 2, ("cs.LG",), ())
    assert (rims.published, rims.date_inferred) == (date(2023, 5, 2), False)
    assert (hubs.title, hubs.arxiv, hubs.journal) == ("Hubs", "2306.00002", None)  # the same key, another paper
    assert (hubs.published, hubs.date_inferred) == (date(2023, 1, 1), True)
    assert (tyres.published, tyres.date_inferred, tyres.journal) == (None, False, "Proc. of Wheels")
    assert tyres.links[0].url == "https://wheels.org/~ada/x_y"
    assert {paper.source for paper in read.papers} == {"bibtex"}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("url = {https://arxiv.org/pdf/2405.15589v2.pdf}", ("2405.15589", 2)),
        ("doi = {10.48550/arXiv.2405.15589}", ("2405.15589", None)),
        ("note = {arXiv:hep-th/9901001}", ("hep-th/9901001", None)),
        ("eprint = {1234567}, archivePrefix = {PubMed}", (None, None)),
        ("eprint = {2405.15589}, eprinttype = {arxiv}", ("2405.15589", None)),
        ("pages = {2405.15589}", (None, None)),
    ],
)
def test_the_arxiv_id_is_found_where_it_stands(fields: str, found: tuple[str | None, int | None]) -> None:
    paper = only(f"@misc{{k, title = {{T}}, {fields}}}")

    assert (paper.arxiv, paper.version) == found


@pytest.mark.parametrize("month", ["12", "dec", '"Dec"', "{December}", "{12}"])
def test_months_are_read_in_all_spellings(month: str) -> None:
    assert only(f"@misc{{k, title = {{T}}, year = 2025, month = {month}}}").published == date(2025, 12, 1)


def test_an_entry_that_does_not_close_is_refused_and_the_next_is_read(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read = parse_bibtex(
            "@misc{a, title = {A}}\n@misc{b, title = {B, year = 1}\n@misc{c, title = {C}}\n@misc{d, year = 2}"
        )

    assert [paper.title for paper in read.papers] == ["A", "C"]
    assert [one.where for one in read.refused] == ["line 2", "line 4, d"]
    assert "look for a brace that is not closed" in read.refused[0].why
    assert read.refused[1].why == "it has no title"
    assert caplog.records == []


def test_spoilt_tex_stays_as_it_is() -> None:
    assert only(r"@misc{k, title = {A \frac{1} $ wheel \undefined{x}}}").title.startswith("A")
    assert only("@misc{k, title = {T}, author = {A, B, C, D and , and }}").authors != ()


# -- files as people have them -----------------------------------------------------------------------------------------


def test_of_a_field_that_stands_twice_the_first_counts() -> None:
    read = parse_bibtex(
        "@misc{a, title = {First}, Title = {Second}, keywords = {x}, keywords = {y}}\n@misc{b, title={B}}"
    )

    assert [paper.title for paper in read.papers] == ["First", "B"]
    assert read.papers[0].extra["keywords"] == "x"
    assert read.refused == ()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("@misc{a,\n title = {A}\n year = {2020}\n}", "its field 'title' goes on with 'year = {2020}' in line 3"),
        ("@misc{a,\n year = 2020\n title = {A},\n}", "its field 'year' goes on with 'title = {A}' in line 3"),
        ('@misc{a,\n title = "A" "B",\n}', "its field 'title' goes on with '\"B\"' in line 2"),
        ("@misc{a,\n title = {A}, , year = 2020}", "no whole BibTeX entry"),
        ("@misc{a\n title = {A}}", "a comma that is missing"),
    ],
)
def test_a_forgotten_comma_is_refused_with_its_line(entry: str, why: str) -> None:
    read = parse_bibtex(f"{entry}\n@misc{{b, title = {{B}}}}")

    assert [paper.title for paper in read.papers] == ["B"]
    (refusal,) = read.refused
    assert refusal.where.startswith("line 1")
    assert why in refusal.why


def test_html_of_a_publisher_becomes_text() -> None:
    paper = only("@misc{k, title={R&amp;D \\& H&lt;sub&gt;2&lt;/sub&gt;O <i>wheels</i>, a < b}, journal={J &amp; K}, "
                 "author={M&uuml;ller, Ada}, url={https://wheels.org/?a=1&amp;para=2}}")  # fmt: skip

    assert paper.title == "R&D & H2O wheels, a < b"
    assert (paper.journal, paper.authors[0].name) == ("J & K", "Ada Müller")
    assert paper.links[0].url == "https://wheels.org/?a=1&para=2"


def test_an_entry_inherits_from_the_one_that_its_crossref_names() -> None:
    read = parse_bibtex(
        "@inproceedings{a, title={A}, crossref={P1}}\n@inproceedings{b, title={B}, year=2018, crossref={p1}}\n"
        "@inproceedings{c, title={C}, crossref={none}}\n"
        "@proceedings{p1, title={Proc. of Wheels}, year={2019}, month=may, publisher={Hub},"
        "author={E}, doi={10.1000/p}}"
    )
    a, b, c, _ = read.papers

    assert (a.published, a.journal, a.extra["publisher"]) == (date(2019, 5, 1), "Proc. of Wheels", "Hub")
    assert (a.authors, a.doi) == ((), None)
    assert (b.published, b.journal) == (date(2018, 1, 1), "Proc. of Wheels")
    assert (c.published, c.journal) == (None, None)


def test_macros_comments_and_preambles() -> None:
    read = parse_bibtex(
        '@preamble{"\\newcommand{\\x}{y}"}\n@comment{@misc{no, title={No}}}\n'
        '@string{a = "Proc."}\n@STRING(b = a # { of } # "Wheels")\n'
        "@misc(k, title = A # {: } # unknown, booktitle = b)\n@misc{, title={No key}}\n@misc{, title={None again}}"
    )

    assert [paper.title for paper in read.papers] == ["Proc.: unknown", "No key", "None again"]
    assert read.papers[0].journal == "Proc. of Wheels"
    assert read.refused == ()


@pytest.mark.parametrize(
    ("fields", "day", "known"),
    [
        ("year={2019}, month={Sep--Oct}", date(2019, 9, 1), "month"),
        ("year={2020}, month={June 7--12}", date(2020, 6, 1), "month"),
        ('year=2019, month = "23{--}27 " # may', date(2019, 5, 1), "month"),
        ("year=2019, month = 23 # {~} # may", date(2019, 5, 23), None),
        ("year=2019, month = {May 23}", date(2019, 5, 23), None),
        ("year=2020, month=sept", date(2020, 9, 1), "month"),
        ("year=2020, month={Mar.}", date(2020, 3, 1), "month"),
        ("year=2020, month={3}", date(2020, 3, 1), "month"),
        ("year=2020, month={03/04}", date(2020, 3, 1), "month"),
        ("year=2020, month={13}", date(2020, 1, 1), "year"),
        ("year=2020, month={Spring}", date(2020, 1, 1), "year"),
        ("year=2020, month=jan, day={30}", date(2020, 1, 30), None),
        ("year=2020, month=feb, day={30}", date(2020, 2, 1), "month"),
        ("date={2020-02-30}", date(2020, 2, 1), "month"),
        ("date={2020-02-28/2020-03-02}", date(2020, 2, 28), None),
        ("date={2020-21}", date(2020, 1, 1), "year"),
        ("date={2020~}", date(2020, 1, 1), "year"),
        ("year={c. 1999}", date(1999, 1, 1), "year"),
        ("year={0000}", None, None),
        ("month=may", None, None),
    ],
)
def test_the_date_is_what_is_told_and_no_more(fields: str, day: date | None, known: str | None) -> None:
    paper = only(f"@misc{{k, title={{T}}, {fields}}}")

    assert paper.published == day
    assert paper.date_inferred == (known is not None)
    assert precision(paper) == (known or "day")


@given(st.text(st.sampled_from('@misc{}(),=#"\\~ \n%abtile0219&;<>-$'), max_size=80))
def test_any_text_behind_an_entry_gives_papers_and_refusals(text: str) -> None:
    read = parse_bibtex(f"@misc{{k, title={{T}}}}\n@misc{{l, title={text}")

    assert read.papers[0].title == "T"
