"""Options that commands share: the model's name, and the names of columns."""

from __future__ import annotations

import pytest
from cyclopts import App

from trued.cli.main import app
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
