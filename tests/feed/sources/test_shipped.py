"""The shipped page: fifty papers, in the page's order, with facts only."""

from __future__ import annotations

from datetime import date

from trued.feed.sources.resolve import identify
from trued.feed.sources.shipped import shipped_page
from trued.feed.store.merge import title_key
from trued.papers import cards


def test_every_card_of_the_page_is_there_once_in_the_page_s_order() -> None:
    papers = shipped_page().papers
    titles = {card.title for card in cards().values() if card.page}

    assert len(papers) == 50
    assert {paper.title for paper in papers} == titles
    assert [paper.rank for paper in papers] == list(range(1, 51))
    assert papers[0].title.startswith("Alignment and Safety in Large Language Models")
    assert papers[17].arxiv == cards()["c-advul"].arxiv
    assert papers[-1].title.startswith("Align With Purpose")


def test_the_facts_are_the_card_s_and_the_text_is_our_own() -> None:
    paper = shipped_page().papers[24]

    assert (paper.arxiv, paper.organization, paper.authors_count, paper.comments, paper.published) == (
        "2510.08555", "Kling Team", None, 2, date(2025, 10, 9),
    )  # fmt: skip
    assert paper.abstract == " ".join(cards()["videocanvas"].summary.split())
    assert paper.source == "card"


def test_a_title_of_a_card_gets_its_id_offline() -> None:
    from dataclasses import replace

    bare = [replace(paper, arxiv=None, title=paper.title.upper() + " ") for paper in shipped_page().papers]
    other = replace(bare[0], title="A paper that nobody wrote")

    named = identify([*bare, other])

    assert [paper.arxiv for paper in named] == [paper.arxiv for paper in shipped_page().papers] + [None]
    assert title_key(named[0].title) == title_key(bare[0].title)
    kept = replace(bare[0], arxiv="2401.00001")
    assert identify([kept]) == (kept,)
