"""`trued run`: bad input is found before anything starts, and claims are printed beside the paper's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trued.cli import terminal
from trued.cli.main import main
from trued.cli.run import seeds_of
from trued.errors import InputError
from trued.lab import committed, executor
from trued.lab.committed import Decision
from trued.lab.rows import ClaimRow
from trued.papers import catalogue

COMMITTED = Path(__file__).parents[2] / "docs" / "evidence"


@pytest.mark.parametrize(
    ("text", "seeds"), [(None, None), ("3", 3), ("0,1,2", (0, 1, 2)), ("7,", (7,)), (" 4 , 2", (4, 2))]
)
def test_seeds(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "0", "1,1", "-1", "1.5", "1,,2"])
def test_seeds_that_make_no_sense(text):
    with pytest.raises(InputError, match="seeds"):
        seeds_of(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a paper that runs (alignment-recovery, "),
        (["no-such-paper"], "no paper has the slug"),
        (["talon"], "has a card but no experiment yet"),
        (["--all", "c-advul"], "together"),
        (["--all", "--field", "robot"], "no paper of the field robot runs yet"),
        (["c-advul", "--field", "language"], "goes with --all"),
        (["c-advul", "--scale", "tny"], "did you mean tiny?"),
        (["c-advul", "--seeds", "1,1"], "twice"),
    ],
)
def test_bad_use_is_found_before_anything_runs(capsys, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executor, "_carry_out", lambda *_, **__: pytest.fail("it ran"))
    assert main(["run", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_one_folder_holds_one_run(capsys, monkeypatch):
    monkeypatch.setattr(catalogue, "state", lambda _: "runs")
    assert main(["run", "c-advul", "mixat", "--output", "here"]) == 2
    assert "holds one run" in capsys.readouterr().err


def test_an_experiment_that_fails_does_not_hide_the_others(capsys, monkeypatch):
    monkeypatch.setattr(catalogue, "state", lambda _: "runs")
    gone = [executor.Outcome("c-advul", None, "no room"), executor.Outcome("mixat", None, "no data")]
    monkeypatch.setattr(executor, "fan_out", lambda *_, **__: gone)
    assert main(["run", "c-advul", "mixat", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err == "trued: c-advul: no room\ntrued: mixat: no data\n"


@pytest.fixture
def folder(tmp_path):
    shutil.copy(COMMITTED / "c-advul.json", tmp_path)
    shutil.copy(COMMITTED / "mixat.json", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["c-advul", "attacks"], "attacks.json is not there; `trued run attacks --evidence"),
        (["c-advul", "--seeds", "2"], "leave --seeds out"),
        (["c-advul", "--scale", "tiny"], "leave --scale out"),
        (["c-advul", "--fresh"], "leave --fresh out"),
    ],
)
def test_a_confirmation_that_cannot_be_is_refused_before_it_runs(capsys, monkeypatch, folder, words, said):
    monkeypatch.setattr(committed, "confirm", lambda *_, **__: pytest.fail("it ran"))
    assert main(["run", *words, "--confirm", str(folder)]) == 2
    assert said in capsys.readouterr().err


def test_broken_evidence_is_found_before_anything_is_confirmed(capsys, monkeypatch, folder):
    (folder / "mixat.json").write_text("{")
    monkeypatch.setattr(committed, "confirm", lambda *_, **__: pytest.fail("it ran"))
    assert main(["run", "c-advul", "mixat", "--confirm", str(folder)]) == 2
    assert "not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["c-advul", "mixat"], ["--all"]])
@pytest.mark.parametrize("fresh", [True, False])
def test_each_paper_is_confirmed_and_one_that_is_stale_ends_with_1(capsys, monkeypatch, folder, words, fresh):
    line = () if fresh else ("robust, method, seed 1: 1 of 2 values differ, such as 1 before and 2 now",)
    decided = {"c-advul": Decision("c-advul", True, "same"), "mixat": Decision("mixat", fresh, "a reason", line)}
    monkeypatch.setattr(committed, "confirm", lambda slug, folder, **_: decided[slug])
    assert main(["run", *words, "--confirm", str(folder)]) == (0 if fresh else 1)
    out = capsys.readouterr().out
    assert "c-advul: fresh: same" in out
    assert f"mixat: {'fresh' if fresh else 'stale'}: a reason" in out
    assert ("robust, method, seed 1" in out) is not fresh
    assert main(["run", *words, "--confirm", str(folder), "--json"]) == (0 if fresh else 1)
    assert [one["fresh"] for one in json.loads(capsys.readouterr().out)] == [True, fresh]


ROW = ClaimRow(
    id="robust", says="Training on embedding attacks makes the model resist attacks written in words.", metric="share",
    paper="85 → 5 % GCG, Zephyr-7B", where="Table 1", ours="71 → 22 %", interval="[−58, −39 points]",
    verdict="supported", why="The method is lower by 49 points, and the whole interval reaches 10 points.",
    control="no attack: 71 → 64 %, did not pass, as it should", strip=None,
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_claims_fit_the_terminal_and_lose_no_word(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    out = terminal.console()
    out.print(terminal.claims_table([ROW], out.width))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for text in (ROW.says, ROW.paper, ROW.ours, ROW.verdict, ROW.why, ROW.control):
        assert not set(text.split()) - set(words)
