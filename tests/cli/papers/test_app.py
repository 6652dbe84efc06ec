"""`trued papers` prints what the cards say: a table that fits, a page that is whole, JSON that parses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trued.cli.papers.app import app
from trued.errors import InputError
from trued.lab.verdict_file import read_verdicts
from trued.papers import cards, catalogue


@pytest.fixture(autouse=True)
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package in which only c-advul runs, and a terminal of 80 columns."""
    (tmp_path / "c_advul.py").touch()
    monkeypatch.setattr(catalogue, "EXPERIMENTS", tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def call(*tokens: str) -> None:
    app(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")


def printed(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    call(*tokens)
    return capsys.readouterr().out


def parsed(capsys: pytest.CaptureFixture[str], *tokens: str) -> Any:
    return json.loads(printed(capsys, *tokens, "--json"))


def test_the_list_names_every_paper_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "list").splitlines()

    assert all(len(line) <= 80 for line in lines)
    listed = lines[1 : len(cards()) + 1]
    assert [line.split()[0] for line in listed] == list(cards())
    assert [line.split()[0] for line in listed if line.split()[-1] == "runs"] == ["c-advul"]
    for line, card in zip(listed, cards().values(), strict=True):
        assert card.date.isoformat() in line
        assert card.field in line
        assert card.title[:8] in line


def test_the_list_is_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    assert {row["slug"] for row in parsed(capsys, "list", "--field", "speech")} == {"goat-tts", "align-with-purpose"}
    assert [row["slug"] for row in parsed(capsys, "list", "--state", "runs")] == ["c-advul"]
    assert len(parsed(capsys, "list", "--state", "planned")) == len(cards()) - 1
    assert parsed(capsys, "list", "--state", "runs", "--field", "robot") == []
    assert printed(capsys, "list", "--state", "runs", "--field", "robot").startswith("0 papers")


def test_a_page_shows_the_whole_card(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "show", "c-advul")
    card = cards()["c-advul"]

    assert all(len(line) <= 80 for line in page.splitlines())
    words = " ".join(page.split())
    for text in (card.title, card.summary, str(card.url), str(card.code), "5 authors", "2024-05-24", "state runs"):
        assert text in words
    for claim in card.claims:
        assert claim.id in words
        assert claim.says in words
        assert claim.metric in words
    assert "passes if lower by at least 10 points" in words
    assert "passes if equal within a factor of 1.05" in words
    assert "must not pass the same training without an attack (delta = 0)" in words
    assert "20 % of the training data, still competitive" in " ".join(printed(capsys, "show", "geoclip").split())


def test_every_page_prints_what_its_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    for slug, card in cards().items():
        words = " ".join(printed(capsys, "show", slug).split())
        assert card.summary in words
        assert ("comments or upvotes" in words) == (card.page_count is not None)
        assert ("authors" in words.split(card.summary)[0]) == (card.authors is not None)
        assert words.count("must not pass") >= sum(claim.control is not None for claim in card.claims)


def test_a_page_shows_the_verdicts_that_were_measured(capsys: pytest.CaptureFixture[str]) -> None:
    measured = read_verdicts("c-advul")
    assert measured is not None
    words = " ".join(printed(capsys, "show", "c-advul").split())
    assert f"measured {measured.day} on {measured.model}" in words
    assert set(measured.verdicts) == {claim.id for claim in cards()["c-advul"].claims}
    for word, why in measured.verdicts.values():
        assert f"verdict {word} {why}" in words
    told = parsed(capsys, "show", "c-advul")["measured"]["claims"]
    assert {id: claim["verdict"] for id, claim in told.items()} == {id: v[0] for id, v in measured.verdicts.items()}
    assert parsed(capsys, "show", "videocanvas")["measured"] is None
    assert "verdict" not in printed(capsys, "show", "videocanvas")


def test_json_of_a_card_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    row = parsed(capsys, "show", "videocanvas")

    assert row["organisation"] == "Kling Team"
    assert row["authors"] is None
    assert row["page_count"] == 2
    assert row["date"] == "2025-10-09"
    assert row["state"] == "planned"
    assert row["claims"][0]["margin"] == {"value": 0.1, "ratio": False}


def test_an_unknown_slug_is_bad_input() -> None:
    with pytest.raises(InputError, match="did you mean c-advul"):
        call("show", "c-advull")


def test_listing_imports_no_torch() -> None:
    code = "import sys; from trued.cli.papers.app import list_papers; list_papers(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"torch", "numpy", "transformers", "sqlalchemy", "matplotlib"}.isdisjoint(loaded)
