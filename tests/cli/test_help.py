"""Help: every command's page is whole, fits the terminal, and is made by reading the command's options once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from cyclopts import App, Parameter

from trued.cli.help import CommandGroup, print_help
from trued.cli.main import app, main


def pages(group: App, words: tuple[str, ...] = ()):
    yield words
    for name in group:
        if not name.startswith("-"):
            yield from pages(group[name], (*words, name))


def page(words, capsys):
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def read_options(monkeypatch):
    """Keep the options that a page is made from, by command."""
    collections = []
    assemble = App.assemble_argument_collection

    def keep(self, **how):
        collections.append(assemble(self, **how))
        return collections[-1]

    monkeypatch.setattr(App, "assemble_argument_collection", keep)
    return collections


def test_every_page_fits_the_terminal_and_names_every_option(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    collections = read_options(monkeypatch)
    for words in pages(app):
        collections.clear()
        text = page(words, capsys)
        assert text.startswith(f"Usage: {' '.join(('trued', *words))}"), words
        assert [line for line in text.splitlines() if len(line) > 60] == [], words
        command = app.parse_commands(words)[1][-1]
        if command.default_command is None:
            assert all(f"\n  {name}" in text for name in command if not name.startswith("-")), words
            continue
        (collection,) = collections  # read once: that is most of what a page costs
        named = {name for option in collection if option.show for name in option.names if name.startswith("-")}
        assert named <= set(text.replace(",", " ").split()), words


@pytest.mark.parametrize("words", [[], ["check"], ["attack"], ["attack", "suite"]])
def test_a_page_fills_eighty_columns(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert 70 < max(map(len, page(words, capsys).splitlines())) <= 80


def test_the_settings_of_an_attack_are_shown(capsys):
    text = page(["attack", "gcg"], capsys)
    assert "Settings:\n" in text
    assert "--search-width INT" in text
    assert "candidates" in text


def test_a_command_says_more_of_itself_than_the_list_does(capsys):
    assert "Defaults are the paper's, except that rewrites are frames" in " ".join(
        page(["align", "mixat"], capsys).split()
    )
    assert "A check that was cut off is continued by the same command." in page(["check"], capsys)
    assert "Defaults are the paper's" not in page(["align"], capsys)


def test_help_may_stand_anywhere_and_a_group_alone_shows_its_page(capsys):
    text = page(["papers", "show"], capsys)
    assert main(["papers", "-h", "show"]) == 0
    assert capsys.readouterr().out == text
    assert main(["papers", "show", "c-advul", "--help"]) == 0
    assert capsys.readouterr().out == text
    for words in ([], ["papers"]):
        listed = page(words, capsys)
        assert main(words) == 0
        assert capsys.readouterr().out == listed


def test_help_after_two_dashes_is_a_word(capsys):
    assert main(["papers", "show", "--", "--help"]) == 2
    assert "no paper has the slug '--help'" in capsys.readouterr().err


def test_a_mistyped_command_has_no_help(capsys):
    assert main(["papers", "lits", "--help"]) == 2
    assert "unknown command 'lits'; did you mean list" in capsys.readouterr().err


def test_no_page_imports_what_it_does_not_draw():
    code = (
        "import sys; from trued.cli.main import main; main(sys.argv[1:]); "
        "sys.exit(' '.join(n for n in ('rich.markdown', 'rich.progress', 'rich.table', 'cyclopts.help.help', "
        "'cyclopts.completion.install', 'trued.lab', 'difflib') if n in sys.modules))"
    )
    for words in (["--help"], ["attack", "suite", "--help"], ["repair", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert done.stderr.strip() == ""


def test_labels_defaults_and_choices(capsys):
    group = CommandGroup(name="trued")

    @group.command
    def example(
        first: Path,
        *rest: str,
        count: int = 3,
        sizes: Annotated[tuple[int, ...], Parameter(negative="")] = (1, 2),
        both: Annotated[tuple[float, float] | None, Parameter(negative="")] = None,
        some: int | Literal["all"] = 1,
        out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
        on: bool = False,
        name: str = "",
        needed: Annotated[str, Parameter(name="--needed")],
    ) -> None:
        """Do what
        is said.

        Then stop.

        Parameters
        ----------
        first
            The first one,
            and no other.
        """

    print_help(group, ["example"])
    text = capsys.readouterr().out
    assert text.startswith(
        "Usage: trued example --needed STR [OPTIONS] FIRST [REST...]\n\nDo what is said.\n\nThen stop."
    )
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {
        "FIRST, --first The first one, and no other. [required]",
        "--count INT [default: 3]",
        "--sizes INT... [default: (1, 2)]",
        "--both FLOAT FLOAT",
        "--some INT|CHOICE [choices: all] [default: 1]",
        "--out, -o PATH",
        "--on, --no-on [default: False]",
        '--name STR [default: ""]',
        "--needed STR [required]",
    } <= lines
