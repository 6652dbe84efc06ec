"""`--help`: the page of a group of commands or of one command, laid out for the width of the terminal.

cyclopts reads the signatures, and this file lays them out. cyclopts' own page assembles a command's options three times
and draws each description as Markdown in nested tables: for a command of a hundred options that takes longer than all
the rest of its answer.

Knows cyclopts' commands and arguments. Knows nothing of what they do, and imports none that is only listed.
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from cyclopts import App, Argument
from cyclopts.exceptions import UnknownCommandError

from trued.cli.settings import help_texts
from trued.cli.terminal import console

if TYPE_CHECKING:
    from rich.console import Console

WIDEST = 100
"""Columns of the page in a wider terminal: longer lines are hard to read."""

LABELS = 28
"""Columns for names and options; a longer one has its description on the next line."""

_ROOT = (
    ("--help, -h", "Show this page; after a command, that command's."),
    ("--version, -V", "Show the version."),
    ("--install-completion", "Install completion of commands and options for your shell."),
)


class CommandGroup(App):
    """A group of commands whose help is that of this file.

    It keeps the line of each command that is named by a path, so that the list of commands imports none of them.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.lines: dict[str, str] = {}
        super().__init__(*arguments, **settings)

    def command(self, obj: Any = None, name: Any = None, **settings: Any) -> Any:
        """Add a command: a path with `name` and `help`, or a function, whose docstring says the rest."""
        if isinstance(obj, str):
            self.lines[name] = settings["help"]
        return super().command(obj, name, **settings)

    def help_print(self, tokens: Any = None, *, console: Any = None) -> None:
        """Print the page of the command that the words name."""
        print_help(self, tokens or ())


def print_help(root: App, words: Iterable[str]) -> None:
    """Print the page of the command that the words after `trued` name.

    Raises:
        UnknownCommandError: the words go on after a group of commands, with none of its commands.
    """
    flags = {*root.help_flags, *root.version_flags}
    names, path, rest = root.parse_commands([word for word in words if word not in flags])
    command = path[-1]
    if command.default_command is None and rest and not rest[0].startswith("-"):
        raise UnknownCommandError(unused_tokens=rest, app=command, command_chain=names)
    words = [root.name[0], *names]
    _print(console(), _group(command, words) if command.default_command is None else _command(command, words))


Lines = Iterator[tuple[str, str]]
"""The lines of a page, each as a part that stands out and the rest."""


def _group(group: App, words: Sequence[str]) -> Lines:
    yield "Usage: ", f"{' '.join(words)} COMMAND"
    yield from _prose(group.help)
    lines = getattr(group, "lines", {})
    names = sorted(name for name in group if not name.startswith("-"))
    yield from _block("Commands", [(name, lines.get(name) or _summary(group[name])) for name in names])
    if len(words) == 1:
        yield from _block("Options", _ROOT)
    yield from _prose(group.help_epilogue)


def _command(command: App, words: Sequence[str]) -> Lines:
    # The function has the whole text; `help` is the line of it that the list of commands shows.
    text = inspect.getdoc(command.default_command) or command.help
    texts = _texts(command.default_command)
    arguments: list[tuple[Argument, str]] = []
    for argument in command.assemble_argument_collection():
        if not argument.keys:  # a parameter itself; the fields of a dataclass follow it
            parameter = argument.field_info.name
        if argument.show:
            arguments.append((argument, argument.parameter.help or texts.get((parameter, *argument.keys), "")))
    yield "Usage: ", " ".join([*words, *_usage([argument for argument, _ in arguments])])
    yield from _prose((text or "").partition("\n\nParameters\n-")[0])
    blocks: dict[str, list[tuple[str, str]]] = {}
    for argument, description in arguments:
        heading = argument.parameter.group[0].name  # pyright: ignore
        blocks.setdefault(heading, []).append((_label(argument), _described(argument, description)))
    for heading in sorted(blocks, key=lambda name: name not in ("Arguments", "Parameters")):
        yield from _block(heading, blocks[heading])


def _texts(function: Any) -> dict[tuple[str, ...], str]:
    """Return what docstrings say of a function's parameters, and of the fields of those that are dataclasses.

    cyclopts reads them too, but for each class it reads the source, to look for texts below its fields.
    """
    texts = {(name,): text for name, text in help_texts(function).items()}
    for name, hint in get_type_hints(function).items():
        kind = _bare(hint)
        if dataclasses.is_dataclass(kind):
            texts |= {(name, field): text for field, text in help_texts(kind).items()}
    return texts


def _usage(arguments: Sequence[Argument]) -> Iterator[str]:
    options = [argument for argument in arguments if argument.index is None]
    for argument in options:
        if argument.required:
            yield f"{argument.name} {_value(argument)}"
    if any(not argument.required for argument in options):
        yield "[OPTIONS]"
    for argument in arguments:
        if argument.index is not None:
            name = _positional(argument) + ("..." if get_origin(_bare(argument.hint)) is tuple else "")
            yield name if argument.required else f"[{name}]"


def _positional(argument: Argument) -> str:
    return argument.name.lstrip("-").upper()


def _label(argument: Argument) -> str:
    names = [name for name in argument.names if name.startswith("-")]
    if argument.index is not None:
        return ", ".join([_positional(argument), *names])
    value = _value(argument)
    return f"{', '.join(names)} {value}" if value else ", ".join(names)


def _described(argument: Argument, text: str) -> str:
    parts = [" ".join(text.split())]
    if choices := argument.get_choices():
        parts.append(f"[choices: {', '.join(choices)}]")
    default = _default(argument)
    if default is not None:
        parts.append(f"[default: {default}]")
    if argument.required:
        parts.append("[required]")
    return " ".join(part for part in parts if part)


def _default(argument: Argument) -> str | None:
    show, value = argument.show_default, argument.field_info.default
    if callable(show):
        return show(value)
    if isinstance(show, str):
        return show
    return (str(value) or '""') if show else None


def _value(argument: Argument) -> str:
    """Return the word for an option's value, such as PATH; nothing for a flag."""
    hint = _bare(argument.hint)
    return "" if hint is bool else _word(hint)


def _bare(hint: Any) -> Any:
    """Return a type without the None that stands for an absent option."""
    if get_origin(hint) in (Union, UnionType):
        members = [member for member in get_args(hint) if member is not NoneType]
        return members[0] if len(members) == 1 else Union[tuple(members)]  # noqa: UP007
    return hint


def _word(hint: Any) -> str:
    origin, members = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "CHOICE"
    if origin in (Union, UnionType):
        return "|".join(dict.fromkeys(_word(member) for member in members))
    if origin in (tuple, list):
        return f"{_word(members[0])}..." if len(members) == 1 or members[1] is ... else " ".join(map(_word, members))
    if isinstance(hint, type) and issubclass(hint, PurePath):
        return "PATH"
    return getattr(hint, "__name__", str(hint)).upper()


def _summary(command: App) -> str:
    return " ".join(command.help.partition("\n\n")[0].split())


def _prose(text: str | None) -> Lines:
    """Yield paragraphs, each after an empty line."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if paragraph:
            yield "", ""
            yield "", " ".join(paragraph.split())


def _block(heading: str, entries: Sequence[tuple[str, str]]) -> Lines:
    """Yield a heading and below it labels with their descriptions; a tab stands between the two."""
    yield "", ""
    yield f"{heading}:", ""
    for label, description in entries:
        yield label, f"\t{description}"


def _print(out: Console, lines: Lines) -> None:
    from rich.text import Text

    width, page = min(out.width, WIDEST), Text()
    page_lines = list(lines)
    labels = [len(label) for label, text in page_lines if text.startswith("\t")]
    column = 4 + max((size for size in labels if size <= LABELS), default=LABELS)
    for label, text in page_lines:
        if not text.startswith("\t"):
            page.append(label, "bold")
            page.append(textwrap.fill(label + text, width, break_on_hyphens=False)[len(label) :] + "\n")
            continue
        for line in textwrap.wrap(label, width - 2, subsequent_indent="  ", break_on_hyphens=False):
            page.append(f"  {line}\n", "cyan")
        rows = textwrap.wrap(text[1:], max(20, width - column), break_on_hyphens=False)
        if rows and len(label) <= column - 4:
            page.right_crop(1)
            page.append(" " * (column - 2 - len(label)) + rows.pop(0) + "\n")
        for row in rows:
            page.append(" " * column + row + "\n")
    out.print(page, end="", soft_wrap=True)
