"""A paper's own page by its citation tags."""

from __future__ import annotations

from datetime import date

import pytest

from trued.errors import InputError
from trued.feed.paper import Author
from trued.feed.sources.highwire import parse_highwire

PAGE = """<!DOCTYPE html><html><head>
<meta charset="utf-8">
<META NAME="Citation_Title" CONTENT="Straight Wheels &amp; Small
 Turns" />
<meta name="citation_author" content="Spoke, Ada">
<meta name="citation_author_institution" content="Wheel Works">
<meta name="citation_author_institution" content="Rim Institute">
<meta name="citation_author" content="Bo van Rim">
<meta name="citation_publication_date" content="2024/05/24">
<meta name="citation_conference_title" content="Proc. of Wheels">
<meta name="citation_doi" content="10.1000/wheels.3">
<meta name="citation_abstract" content="We turn one spoke. https://github.com/wheels/true">
<meta name="citation_abstract" content="another">
<script>document.write('<meta name="citation_title" content="No">')</script>
</head><body></body></html>"""


def test_the_tags_are_read() -> None:
    paper = parse_highwire(PAGE, "https://wheels.example.org/papers/3")

    assert paper.title == "Straight Wheels & Small Turns"
    assert paper.authors == (Author("Ada Spoke", affiliation="Wheel Works; Rim Institute"), Author("Bo van Rim"))
    assert (paper.published, paper.date_inferred) == (date(2024, 5, 24), False)
    assert (paper.journal, paper.doi, paper.source) == ("Proc. of Wheels", "10.1000/wheels.3", "web")
    assert [one.url for one in paper.links] == ["https://wheels.example.org/papers/3", "https://github.com/wheels/true"]
    assert paper.abstract.startswith("We turn one spoke.")
    assert paper.arxiv is None


def test_an_arxiv_page_gives_its_id() -> None:
    page = '<meta name="citation_title" content="T"><meta name="citation_arxiv_id" content="2405.15589">'

    assert parse_highwire(page).arxiv == "2405.15589"
    paper = parse_highwire('<meta name="citation_title" content="T">', "https://arxiv.org/abs/2405.15589v2")
    assert (paper.arxiv, paper.version, paper.links) == ("2405.15589", 2, ())


@pytest.mark.parametrize(
    ("told", "day", "inferred"),
    [
        ("2024-05-24", date(2024, 5, 24), False),
        ("2024/5", date(2024, 5, 1), True),
        ("2024", date(2024, 1, 1), True),
        ("2024/13/1", date(2024, 1, 1), True),
        ("soon", None, False),
    ],
)
def test_a_date_in_pieces_is_inferred(told: str, day: date | None, inferred: bool) -> None:
    paper = parse_highwire(f'<meta name="citation_title" content="T"><meta name="citation_date" content="{told}">')

    assert (paper.published, paper.date_inferred) == (day, inferred)


@pytest.mark.parametrize("page", ["", "<html>", "<meta name='citation_title' content=' '>", "<title>T</title>"])
def test_a_page_that_tells_nothing_is_told(page: str) -> None:
    with pytest.raises(InputError, match="this page does not say which paper it is of"):
        parse_highwire(page)
