"""BibTeX as people write it: TeX in titles, names in all orders, dates in pieces, braces that don't close."""

from __future__ import annotations

import logging
from datetime import date

import pytest

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
