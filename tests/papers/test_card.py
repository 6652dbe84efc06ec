"""A card is read whole or refused with the file, the key, the value and the remedy."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from trued.errors import InputError
from trued.papers import Margin, PaperFigures, load_card

CARD = """
slug       = "small-paper"
title      = "A Small Paper"
arxiv      = "2401.00001"
date       = 2024-01-01
authors    = 3
page_count = 2
field      = "language"
modalities = ["text", "image"]
code       = "https://example.org/code"
summary    = \"\"\"
One sentence that
runs on. And another.\"\"\"

[[claims]]
id      = "faster"
says    = "It is faster."
metric  = "seconds"
unit    = "ratio"
better  = "lower"
margin  = "ratio 1.5"
control = "the same again"
paper   = { baseline = 20.0, method = 1, unit = "relative time", where = "abstract" }

[[claims]]
id     = "as-good"
says   = "It is as good."
metric = "accuracy"
unit   = "points"
better = "equal"
margin = 0.02
"""


def write(folder: Path, text: str, name: str = "small-paper.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_card_is_read_whole(tmp_path: Path) -> None:
    card = load_card(write(tmp_path, CARD))

    assert (card.slug, card.title, card.date) == ("small-paper", "A Small Paper", date(2024, 1, 1))
    assert (card.arxiv, card.url) == ("2401.00001", "https://arxiv.org/abs/2401.00001")
    assert (card.authors, card.organisation, card.page_count) == (3, None, 2)
    assert (card.field, card.modalities, card.code) == ("language", ("text", "image"), "https://example.org/code")
    assert card.summary == "One sentence that runs on. And another."

    faster, as_good = card.claims
    assert faster.margin == Margin(1.5, ratio=True)
    assert str(faster.margin) == "ratio 1.5"
    assert faster.paper == PaperFigures(20.0, 1.0, "relative time", "abstract")
    assert faster.paper
    assert as_good.margin == Margin(0.02)
    assert as_good.control is None
    assert not as_good.paper


def test_what_the_page_does_not_show_may_be_left_out(tmp_path: Path) -> None:
    optional = ("arxiv", "authors", "page_count", "code")
    card = load_card(write(tmp_path, "\n".join(line for line in CARD.splitlines() if not line.startswith(optional))))

    assert (card.arxiv, card.url, card.authors, card.page_count, card.code) == (None,) * 5


def test_a_card_is_of_the_page_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert load_card(write(tmp_path, CARD)).page
    assert not load_card(write(tmp_path, CARD.replace("page_count = 2", "page = false"))).page


def test_a_claim_is_found_by_name_and_a_wrong_name_gets_the_nearest(tmp_path: Path) -> None:
    card = load_card(write(tmp_path, CARD))

    assert card.claim("as-good").better == "equal"
    with pytest.raises(InputError, match=r"no claim 'fastr'; did you mean faster\?"):
        card.claim("fastr")


BAD = {
    "unknown key": ("authors    = 3", "autors = 3", "autors: unknown key; did you mean authors"),
    "unknown claim key": ('control = "the same again"', 'kontrol = "x"', "claims[0].kontrol: unknown key"),
    "unknown figure key": ("method = 1,", "value = 1,", "claims[0].paper.value: unknown key"),
    "missing title": ('title      = "A Small Paper"', "", "title: missing"),
    "missing metric": ('metric  = "seconds"', "", "claims[0].metric: missing"),
    "empty title": ('"A Small Paper"', '" "', "title: ' ' does not fit"),
    "slug with capitals": ('"small-paper"', '"Small-Paper"', "slug: 'Small-Paper' does not fit"),
    "slug of another file": ('"small-paper"', '"other"', "slug: 'other' does not fit; give the file's name"),
    "quoted date": ("date       = 2024-01-01", 'date = "2024-01-01"', "date: '2024-01-01' does not fit"),
    "date with a time": (
        "date       = 2024-01-01",
        "date = 2024-01-01T10:00:00",
        "date: 2024-01-01T10:00:00 does not fit",
    ),
    "day that never was": ("date       = 2024-01-01", "date = 2024-02-30", "not valid TOML"),
    "no authors": ("authors    = 3", "authors = 0", "authors: 0 does not fit; give a whole number from 1"),
    "authors true": ("authors    = 3", "authors = true", "authors: True does not fit"),
    "negative count": ("page_count = 2", "page_count = -1", "page_count: -1 does not fit"),
    "arXiv id with version": ('"2401.00001"', '"2401.00001v2"', "arxiv: '2401.00001v2' does not fit"),
    "unknown field": ('"language"', '"linguistics"', "field: 'linguistics' does not fit; give one of language"),
    "unknown modality": ('"image"]', '"smell"]', "modalities: ['text', 'smell'] does not fit"),
    "repeated modality": ('"image"]', '"text"]', "modalities: ['text', 'text'] does not fit"),
    "plain http": ("https://example.org/code", "http://example.org/code", "code: 'http://example.org/code' does not"),
    "page in words": ("page_count = 2", 'page = "no"', "page: 'no' does not fit; give true or false"),
    "unknown direction": ('better  = "lower"', 'better = "less"', "claims[0].better: 'less' does not fit; give one of"),
    "margin zero": ("margin = 0.02", "margin = 0", "claims[1].margin: 0 does not fit; give a number above 0"),
    "margin negative": ("margin = 0.02", "margin = -0.1", "claims[1].margin: -0.1 does not fit"),
    "margin not finite": ("margin = 0.02", "margin = inf", "claims[1].margin: inf does not fit"),
    "margin true": ("margin = 0.02", "margin = true", "claims[1].margin: True does not fit"),
    "ratio of one": ('"ratio 1.5"', '"ratio 1"', "claims[0].margin: 'ratio 1' does not fit"),
    "ratio in words": ('"ratio 1.5"', '"ratio two"', "claims[0].margin: 'ratio two' does not fit"),
    "ratio margin of a difference": ('unit    = "ratio"', 'unit = "s"', "claims[0].unit: 's' does not fit"),
    "difference called a ratio": ('unit   = "points"', 'unit = "ratio"', "claims[1].unit: 'ratio' does not fit"),
    "the same id twice": ('id     = "as-good"', 'id = "faster"', "claims[1].id: 'faster' is taken"),
    "figure as a text": ("baseline = 20.0", 'baseline = "20"', "claims[0].paper.baseline: '20' does not fit"),
    "figure without a source": (', where = "abstract"', "", "claims[0].paper.where: missing"),
    "figure without a unit": (', unit = "relative time"', "", "claims[0].paper.unit: missing"),
    "broken TOML": ("[[claims]]", "[[claims]", "not valid TOML"),
}


@pytest.mark.parametrize(("old", "new", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_card_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CARD
    path = write(tmp_path, CARD.replace(old, new, 1))

    with pytest.raises(InputError) as raised:
        load_card(path)

    assert "small-paper.toml" in str(raised.value)
    assert message in str(raised.value)


def test_a_card_without_claims_is_refused(tmp_path: Path) -> None:
    for claims in ("", "claims = []", "claims = 3"):
        with pytest.raises(InputError, match=r"small-paper\.toml, claims: "):
            load_card(write(tmp_path, claims + CARD.split("[[claims]]")[0]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml: the card cannot be read"):
        load_card(tmp_path / "nowhere.toml")
