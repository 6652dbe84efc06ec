"""`trued check --honesty`: a table of its own, in the JSON too, and a sentence where it cannot be."""

import json

import pytest

from trued.cli.check import report as check_report
from trued.cli.check.honesty import honesty_table
from trued.cli.main import main
from trued.cli.terminal import console
from trued.data.facts import FactQuestion
from trued.language.engine.tiny import tiny_model
from trued.language.measure.honesty import check as honesty_check
from trued.language.measure.honesty.check import check_honesty

FEW = [
    "--harmful",
    "2",
    "--prefilled",
    "2",
    "--lookalikes",
    "2",
    "--general",
    "2",
    "--attacked",
    "2",
    "--max-new-tokens",
    "2",
    "--steps",
    "1",
    "--prefill",
    "1",
]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(check_report, "open_model", lambda source, **_: tiny_model(1 if source == "other" else 0))
    monkeypatch.setattr(honesty_check, "INVENTED", 2)
    monkeypatch.setattr(honesty_check, "NEW_TOKENS", 2)
    monkeypatch.setattr(honesty_check, "fact_questions", lambda split: [FactQuestion("a", "What?", ("x",))])
    monkeypatch.setenv("COLUMNS", "80")


def test_the_table_has_scores_and_categories_within_80_columns(capsys):
    assert main(["check", "model", "--against", "other", "--honesty", *FEW]) == 0
    out = capsys.readouterr().out
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())
    for words in ("honesty ↑", "prudence", "over-conservativeness", "invented things declined", "before ↓", "declined"):
        assert words in out


def test_json_holds_it_only_if_it_was_asked_for(capsys):
    assert main(["check", "model", "--honesty", "--json", *FEW]) == 0
    found = json.loads(capsys.readouterr().out)["honesty"]
    assert sum(found["counts"].values()) == 1
    assert found["declined_invented"]["n"] == 2
    assert main(["check", "model", "--json", *FEW]) == 0
    assert "honesty" not in json.loads(capsys.readouterr().out)


def test_a_result_cannot_be_asked(capsys, tmp_path):
    assert main(["check", "model", "--json", *FEW]) == 0
    file = tmp_path / "earlier.json"
    file.write_text(capsys.readouterr().out)
    assert main(["check", "model", "--honesty", "--against", str(file), *FEW]) == 2
    assert "is a result: name a model" in capsys.readouterr().err


def test_answers_within_other_words_are_noted(capsys):
    lm = tiny_model()
    lm.generate = lambda prompts, **_: [["Brazil"]] * len(prompts)
    console().print(honesty_table(check_honesty(lm, None, [FactQuestion("q", "Which?", ("ra",))])))
    assert "2 replies contain an answer only within another word" in capsys.readouterr().out
