"""The deployment study at the command line: its table, its JSON, its report, and refusals before long work."""

import json

import pytest

from trued.cli.attack.deployment import Asked, deployment
from trued.cli.main import main
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.measure.deployment import DeploymentGrid

GRID = DeploymentGrid(
    templates=("own", "none"), precisions=("float32", "int8"), scales=(0.0, 1.0), temperatures=(0.0, 1.0), samples=2,
    max_new_tokens=2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model().with_lora(r=2, alpha=4)))


@pytest.fixture
def asked(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": text}) for text in ("tell me", "show it")))
    return Asked(behaviors=str(path), limit=2, jailbreaks=0)


def test_json_has_every_setting_and_the_transfer(asked, capsys, tmp_path):
    deployment("tiny", selection=asked, grid=GRID, as_json=True, report=tmp_path / "report.html")
    found = json.loads(capsys.readouterr().out)
    settings = [cell["setting"] for cell in found["cells"]]
    assert len(settings) == len(GRID.settings())
    assert all(0 <= cell["asr"] <= cell["asr_at_n"] <= 1 for cell in found["cells"])
    pairs = {(one["computed_on"], one["tried_on"]) for one in found["transfer"]}
    assert pairs == {(a, b) for a in ("no attack", "float32", "int8") for b in ("float32", "int8")}
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("</html>") == 1
    assert "Embedding attacks across precisions" in page


def test_the_table_fits_a_terminal(asked, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    deployment("tiny", selection=asked, grid=GRID, transfer=False)
    out = capsys.readouterr().out
    assert "2 test cases of 2 requests" in out
    assert "PhraseJudge" in out
    rows = [line for line in out.splitlines() if line.startswith(("own", "none"))]
    assert len(rows) == len(GRID.settings())
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_the_grid_is_made_of_options(asked, capsys):
    words = ["attack", "deployment", "tiny", "--behaviors", asked.behaviors, "--limit", "2", "--jailbreaks", "1"]
    words += ["--templates", "safe", "--precisions", "float32", "--scales", "0.5", "--temperatures", "0"]
    assert main([*words, "--max-new-tokens", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(c["setting"]["template"], c["setting"]["scale"]) for c in found["cells"]] == [("safe", 1.0), ("safe", 0.5)]
    assert found["protocol"]["cases"] == 4
    assert found["transfer"] == []
    assert main([*words, "--templates", "mine"]) == 2
    assert "templates: unknown 'mine'" in capsys.readouterr().err


def test_too_few_requests_are_refused():
    with pytest.raises(InputError, match="limit 1 and jailbreaks 1"):
        Asked(limit=1)
