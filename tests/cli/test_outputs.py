"""Whatever is given as output: files of others survive, and what cannot be written is said before any work."""

from __future__ import annotations

import pytest

from trued.cli.main import main
from trued.language.engine.model import LanguageModel

FOLDERS = [
    ["represent", "structure", "a.npy", "b.npy", "--output"],
    ["align", "refusal", "--output"],
    ["align", "c-advul", "--output"],
    ["align", "honesty-absolute", "--output"],
    ["repair", "--finetuned", "x", "--aligned", "y", "--output"],
    ["loop", "--output"],
    ["run", "c-advul", "--scale", "tiny", "--output"],
]
FILES = [
    ["check", "x", "--output"],
    ["check", "x", "--junit"],
    ["attack", "templates", "--report"],
    ["attack", "templates", "--output"],
    ["attack", "deployment", "x", "--report"],
    ["geolocate", "--text", "a desert", "--output"],
    ["geolocate", "--text", "a desert", "--format-is-svg", "--map"],
    ["papers", "export", "--format", "csv"],
    ["papers", "feed", "--format", "atom"],
    ["papers", "digest", "--to", "a@example.org", "--dry-run"],
]


@pytest.fixture(autouse=True)
def no_work(tmp_path, monkeypatch):
    """A folder to be in; loading a model is the work that must not begin."""

    def load(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr(LanguageModel, "load", load)
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")


def words(command: list[str], output: str) -> list[str]:
    if "--format-is-svg" in command:
        output += ".svg"
    return [*(word for word in command if word != "--format-is-svg"), output]


def refused(capsys: pytest.CaptureFixture[str], command: list[str], output: str) -> str:
    assert main(words(command, output)) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1, told.err
    assert output in told.err
    return told.err


@pytest.mark.parametrize("command", FOLDERS, ids=" ".join)
def test_a_folder_of_someone_else_survives(command, tmp_path, capsys) -> None:
    folder = tmp_path / "in" / "prec"
    folder.mkdir()
    (folder / "notes.txt").write_text("precious")
    assert "notes.txt" in refused(capsys, command, "prec")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert (folder / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("command", FOLDERS, ids=" ".join)
def test_the_folder_one_is_in_is_refused(command, capsys) -> None:
    assert "the folder you are in" in refused(capsys, command, ".")


@pytest.mark.parametrize("command", [*FOLDERS, *FILES], ids=" ".join)
def test_a_file_of_someone_else_survives(command, tmp_path, capsys) -> None:
    file = tmp_path / "in" / words(command, "prec")[-1]
    file.write_text("precious")
    refused(capsys, command, "prec")
    assert file.read_text() == "precious"


@pytest.mark.parametrize("command", [*FOLDERS, *FILES], ids=" ".join)
def test_what_cannot_be_written_is_said_before_the_work(command, capsys) -> None:
    assert "cannot be written" in refused(capsys, command, "/proc/nowhere/out")
