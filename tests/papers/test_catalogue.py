"""The shipped cards are whole, and the catalogue knows which papers run without importing them."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from trued.errors import InputError
from trued.papers import Card, cards, catalogue, state

CARDS = cards()
PAPERS_ON_THE_PAGE = 50
PAGE_DATE = date(2025, 12, 10)
# as the page shows them: 47 entries with authors, one with an organisation, two with neither
PAPERS_WITH_AUTHORS = 47

every_card = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())


def test_every_paper_of_the_page_has_a_card() -> None:
    on_page = [card for card in CARDS.values() if card.page]
    assert len(on_page) == PAPERS_ON_THE_PAGE
    assert sum(card.authors is not None for card in on_page) == PAPERS_WITH_AUTHORS
    assert [card.slug for card in on_page if card.organisation] == ["videocanvas"]


def test_a_card_that_is_not_of_the_page_is_here_for_its_experiment() -> None:
    others = [card.slug for card in CARDS.values() if not card.page]
    assert others == ["attacks"]
    assert all(state(slug) == "runs" for slug in others)


@pytest.mark.parametrize("key", ["arxiv", "title", "summary"])
def test_no_two_cards_share_an_identity(key: str) -> None:
    values = [getattr(card, key) for card in CARDS.values()]

    assert None not in values
    assert len(set(values)) == len(values)


@every_card
def test_a_summary_is_two_to_four_sentences(card: Card) -> None:
    sentences = re.findall(r"[.!?][\"']?(?=\s|$)", card.summary)

    assert 2 <= len(sentences) <= 4
    assert card.summary.endswith((".", "?"))


@every_card
def test_an_arxiv_id_is_of_the_month_of_the_paper(card: Card) -> None:
    assert card.arxiv is not None
    year, month = 2000 + int(card.arxiv[:2]), int(card.arxiv[2:4])

    # A paper submitted on the last day of a month is numbered in the next.
    months_apart = (year - card.date.year) * 12 + month - card.date.month
    assert months_apart in (0, 1)
    assert card.date <= PAGE_DATE


@every_card
def test_claims_can_fail(card: Card) -> None:
    assert 2 <= len(card.claims) <= 10
    assert any(claim.control for claim in card.claims), "at least one claim needs a control that must not pass"
    for claim in card.claims:
        assert claim.says.endswith(".")
        assert not claim.metric.endswith(".")
        if claim.unit == "points":
            assert claim.margin.value < 1, "points are differences of shares from 0 to 1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("c-advull", r"no paper has the slug 'c-advull'; did you mean c-advul"),
        ("c_advul", r"did you mean c-advul"),
        ("", r"no paper has the slug ''\. `trued papers list` shows all"),
        ("../../secret", r"no paper has the slug"),
    ],
)
def test_an_unknown_slug_gets_the_nearest(name: str, message: str) -> None:
    for ask in (catalogue.card, state):
        with pytest.raises(InputError, match=message):
            ask(name)


@pytest.mark.parametrize("file", ["c_advul.py", "c_advul/__init__.py"])
def test_a_paper_runs_when_its_experiment_is_in_the_package(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "EXPERIMENTS", tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    assert state("c-advul") == "planned"

    (tmp_path / file).touch()
    assert state("c-advul") == "runs"
    assert state("mixat") == "planned"


def test_every_experiment_in_the_package_has_a_card() -> None:
    files = [*catalogue.EXPERIMENTS.glob("[a-z]*.py"), *catalogue.EXPERIMENTS.glob("[a-z]*/__init__.py")]

    assert files
    for file in files:
        name = file.parent.name if file.stem == "__init__" else file.stem
        assert name.replace("_", "-") in CARDS


def test_the_cards_cannot_be_spoiled_for_the_next_reader() -> None:
    cards().clear()

    assert len(cards()) == len(CARDS)


def test_reading_the_cards_imports_nothing_heavy() -> None:
    code = "import sys, trued.papers; trued.papers.cards(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"torch", "numpy", "transformers", "sqlalchemy", "matplotlib"}.isdisjoint(loaded)
