"""Options that commands share: the model's name, and the names of columns."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

import pytest
from cyclopts import App, Token

from trued.cli.main import app, main
from trued.cli.options import columns_of
from trued.errors import InputError

OTHERWISE = {("run",), ("geolocate",)}
"""Commands whose first words are something else: papers, and pictures."""


def commands(part: App, words: tuple[str, ...] = ()):
    if part.default_command is not None:
        yield words, part
    for name in part:
        if not name.startswith("-"):
            yield from commands(part[name], (*words, name))


def test_a_model_is_named_first_or_by_its_option_in_every_command():
    models = {}
    for words, command in commands(app):
        for argument in command.assemble_argument_collection():
            if "--model" in argument.names:
                models[words] = argument.index
    assert {("check",), ("loop",), ("repair",), ("sample",), ("align", "dpo"), ("attack", "gcg")} <= set(models)
    assert {words for words, index in models.items() if index != 0} == OTHERWISE


def plain_types(hint):
    """The types that a hint is composed of, the values of a choice as their own types."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return {"choice"}
    return set().union(*map(plain_types, parts)) if parts else {hint}


def test_no_option_of_any_command_rounds_a_number():
    options = {}
    for words, command in commands(app):
        for argument in command.assemble_argument_collection():
            types = plain_types(argument.hint)
            if argument.parse and argument.show and int in types and float not in types:
                options[*words, argument.name] = argument
    assert len(options) > 100
    assert {("attack", "gcg", "--seed"), ("check", "--prefill"), ("serve", "--port")} <= set(options)
    for name, argument in options.items():
        converter = argument.parameter.converter
        assert converter is not None, name
        with pytest.raises(ValueError, match=r"'2\.7' is not a whole number"):
            converter(argument.hint, [Token(keyword=name[-1], value="2.7")])


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "-n", "2.7"],
        ["check", "--prefill", "1", "--prefill", "2.7"],
        ["check", "--templates-per-prompt", "2.7"],
        ["attack", "direct", "--limit", "2.7"],
        ["attack", "gcg", "--steps", "2.7"],
        ["papers", "search", "x", "--limit", "2.7"],
        ["serve", "--port", "2.7"],
    ],
)
def test_a_number_that_is_not_whole_is_refused(words, capsys):
    assert main(words) == 2
    assert "'2.7' is not a whole number" in capsys.readouterr().err


def test_whole_numbers_and_words_among_them_are_read():
    command = app.parse_commands(["check"])[1][-1]
    words = ["--prefill", "1", "--prefill", "3", "--templates-per-prompt", "all", "--attacked", "1e1"]
    with pytest.raises(Exception, match="'1e1' is not a whole number"):
        command.parse_args(words, print_error=False, exit_on_error=False)
    _, bound, _ = command.parse_args(words[:-2], print_error=False, exit_on_error=False)
    assert bound.arguments["settings"].prefill == (1, 3)
    assert bound.arguments["settings"].templates_per_prompt == "all"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (None, {}),
        ("prompt=Goal", {"prompt": "Goal"}),
        (" prompt = Goal , chosen=Best,", {"prompt": "Goal", "chosen": "Best"}),
    ],
)
def test_columns_are_names_with_an_equals_sign(text, columns):
    assert columns_of(text) == columns


@pytest.mark.parametrize("text", ["prompt", "=Goal", "prompt=", "prompt=a,prompt=b"])
def test_other_columns_are_refused(text):
    with pytest.raises(InputError, match="--columns"):
        columns_of(text)
