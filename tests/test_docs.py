"""The pages name what is there: Python that compiles, names that can be imported, commands, options and files."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from trued.cli.main import app
from trued.cli.settings import laid_over
from trued.language.measure.check.gates import Gates
from trued.language.measure.check.safety import CheckConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md"), *(DOCS / "api").glob("*.md")]
NAMES = sorted(page.relative_to(ROOT).as_posix() for page in PAGES if page.name != "cli.md")  # made from the commands
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(trued [^`\n]+)`(?!`)")
GROUP_OF_SETTINGS = re.compile(r"--[a-z-]+\.…")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return [body for found, body in BLOCK.findall(text) if found == language]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def command_lines(text: str) -> Iterator[list[str]]:
    """The calls of trued on a page, fenced or in running text: the words after `trued` of each."""
    fences = [body for language, body in BLOCK.findall(text) if language != "python"]
    lines = [line for body in fences for line in re.sub(r"(?m)\\$\n|(?<=>-)\n", " ", body).splitlines()]
    calls = [line.partition("trued ")[2] for line in lines if re.match(r"(- run: )?trued ", line.strip())]
    calls += [call.removeprefix("trued ") for call in INLINE.findall(text)]
    for call in calls:
        yield shlex.split(call.split("  ")[0], comments=True)


def resolve(words: list[str]) -> tuple[object, list[str]]:
    """Follow the words into the commands; return the innermost command and the words that remain."""
    command = app
    while words and not words[0].startswith("-"):
        if words[0] not in command:
            break
        command, words = command[words[0]], words[1:]
    return command, words


def subcommands(command) -> set[str]:
    return {name for name in command if not name.startswith("-")}


def options(command) -> set[str]:
    """All options of a command, its settings included."""
    arguments = command.assemble_argument_collection(parse_docstring=False)
    return {name for argument in arguments for name in argument.names} | {"--help", "-h", "-v", "-vv", "-q"}


@pytest.mark.parametrize("name", NAMES)
def test_python_compiles_and_its_imports_resolve(name):
    for block in blocks(read(name), "python"):
        tree = ast.parse(block, name)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "trued":
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{name}: {node.module} has no {alias.name}"


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_their_options_exist(name):
    for words in command_lines(read(name)):
        command, rest = resolve(words)
        if subcommands(command):  # a group of commands: what follows is one of several, or left open
            leaves_open = not rest or rest[0] in {"…", "..."} or re.match(r"[A-Z]+$|.*…$", rest[0])
            assert leaves_open or rest[0].startswith("--"), f"{name}: trued has no command {' '.join(words)}"
            continue
        known = options(command)
        for word in rest:
            option = word.split("=")[0].rstrip(",;:")
            if option.startswith("--") and not GROUP_OF_SETTINGS.fullmatch(option) and option != "--…":
                assert option in known, f"{name}: trued {' '.join(words)}: no option {option}"


@pytest.mark.parametrize("name", ["docs/start.md", "docs/gate-in-ci.md"])
def test_configuration_files_are_understood(name):
    configs = [yaml.safe_load(block) for block in blocks(read(name), "yaml")]
    checks = [config for config in configs if "gates" in config]
    assert checks
    for config in checks:
        assert laid_over(Gates(), config.pop("gates"), source=Path(name)) != Gates()
        laid_over(CheckConfig(), config, source=Path(name))


@pytest.mark.parametrize("name", NAMES)
def test_modules_and_files_that_are_named_exist(name):
    text = read(name)
    for dotted in re.findall(r"(?:`|^::: )(trued(?:\.\w+)+)", text, re.MULTILINE):
        if dotted.startswith("trued.json"):
            continue
        module, _, rest = dotted.partition(".")
        place = importlib.import_module(module)
        for part in rest.split("."):
            try:
                place = importlib.import_module(f"{place.__name__}.{part}")
            except (ModuleNotFoundError, AttributeError):
                place = getattr(place, part)
    for path in re.findall(r"`((?:src|docs|tests|trued|examples|benchmarks)/[\w./-]+\.\w+)`", text):
        assert "SLUG" in path or (ROOT / path).exists() or (ROOT / "src" / path).exists(), f"{name}: no {path}"


def test_a_wrong_name_is_noticed():
    text = "Say `trued chek x`.\n```\ntrued align dpo --data a --outptu b  # trains\n```\n"
    (train, check) = command_lines(text)
    assert train == ["align", "dpo", "--data", "a", "--outptu", "b"]
    command, rest = resolve(train)
    assert rest[0] == "--data"
    assert "--data" in options(command)
    assert "--fit.steps" in options(command)
    assert "--outptu" not in options(command)
    assert resolve(check) == (app, ["chek", "x"])
