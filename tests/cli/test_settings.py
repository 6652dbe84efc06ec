"""Settings: options over a method's own defaults, configuration files, and the table that help is made from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, get_args

import pytest

from trued.cli import methods
from trued.cli.methods import METHODS, TABLE, table
from trued.cli.settings import described, kind_of, laid_over, options_of, read_settings, type_of
from trued.errors import InputError
from trued.language.train.c_advul import CAdvIPO, CAdvUL


@dataclass(frozen=True)
class Inner:
    """A part of the example.

    Args:
        rate, decay: how fast.
    """

    rate: float = 0.5
    decay: float = 0.1


@dataclass(frozen=True)
class Outer:
    """An example.

    Args:
        kind: which one.
        size: how large.
    """

    kind: Literal["a", "b"] = "a"
    size: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    both: tuple[float, float] = (0.9, 0.99)
    some: int | Literal["all"] = 1
    on: bool = False
    inner: Inner = field(default_factory=lambda: Inner(rate=0.25))


def twin(method):
    classes = {}
    return options_of(described(method, classes=classes), classes)


def test_the_committed_table_is_that_of_the_dataclasses():
    assert TABLE.read_text("utf-8") == table(), "write it again: python -m trued.cli.methods"


def test_a_method_that_the_table_lacks_is_read_from_its_dataclass(monkeypatch):
    monkeypatch.setattr(methods, "_table", lambda: {"classes": {}, "methods": {}})
    names = [f.name for f in dataclasses.fields(get_args(get_args(methods.options("sample"))[0])[0])]
    assert "top_p" in names


@pytest.mark.parametrize("command", METHODS)
def test_every_method_has_options_and_is_loaded_with_its_defaults(command):
    options = get_args(get_args(methods.options(command))[0])[0]
    assert dataclasses.fields(options)
    if command not in ("attack pair", "attack tap"):  # they cannot be made without an attacker
        method = METHODS[command].load()
        assert laid_over(method, options()) == method


def test_a_description_holds_defaults_kinds_and_help():
    classes = {}
    description = described(Outer, classes=classes)
    assert description["defaults"]["size"] == "none"
    assert description["defaults"]["inner"]["defaults"] == {"rate": "0.25", "decay": "0.1"}
    fields = classes[description["class"]]
    assert fields["kind"] == {"kind": {"choices": ["a", "b"]}, "help": "which one."}
    assert classes[description["defaults"]["inner"]["class"]]["decay"]["help"] == "how fast."


@pytest.mark.parametrize(
    "hint", [int, str, Literal["a", "b"], tuple[int, ...], tuple[float, float], int | Literal["all"], Literal[1, 2]]
)
def test_types_come_back_from_their_description(hint):
    assert type_of(kind_of(hint)) == hint


def test_an_option_leaves_the_methods_other_defaults_alone():
    options = twin(CAdvUL())
    assert all(f.default is None for f in dataclasses.fields(options))
    method = laid_over(CAdvUL(), {"fit": {"lr": 0.5}, "lora-r": 3})
    assert method.fit.lr == 0.5
    assert method.fit.batch_size == CAdvUL().fit.batch_size
    assert method.lora_r == 3
    assert laid_over(CAdvUL(), None) == CAdvUL()


def test_setting_steps_unsets_epochs():
    method = laid_over(CAdvIPO(), {"fit": {"steps": 7}})
    assert (method.fit.steps, method.fit.epochs) == (7, None)


def test_null_in_a_file_unsets_what_may_be_absent():
    assert laid_over(CAdvUL(), {"attack": None}).attack is None
    assert laid_over(CAdvUL(), {"lora_r": None}) == CAdvUL()


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"inner": {"rate": "1e-3"}}, 1e-3),  # YAML reads 1e-3 as a text
        ({"inner": {"rate": 2}}, 2.0),
        ({"size": 3.0}, 3),
        ({"sizes": [4, 5]}, (4, 5)),
        ({"both": [1, 2]}, (1.0, 2.0)),
        ({"some": "all"}, "all"),
        ({"on": True}, True),
    ],
)
def test_values_are_converted_to_the_type_of_their_field(settings, value):
    (name,) = settings
    method = laid_over(Outer(), settings)
    changed = method.inner.rate if name == "inner" else getattr(method, name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner": {"rate": "fast"}}, "inner.rate is 'fast': expected a number"),
        ({"size": 2.5}, "size is 2.5: expected a whole number"),
        ({"on": "yes"}, "on is 'yes': expected true or false"),
        ({"kind": "A"}, "kind is 'A': expected one of a, b"),
        ({"sizes": 3}, "sizes is 3: expected a list, each of it a whole number"),
        ({"both": [1]}, r"both is \[1\]: expected a list of 2"),
        ({"some": "most"}, "some is 'most': expected a whole number or one of all"),
        ({"inner": 3}, "inner is 3: it takes settings of its own"),
        ({"inner": {"rat": 1}}, "no setting 'inner.rat'; did you mean rate"),
    ],
)
def test_what_a_field_cannot_take_is_named_with_its_file_and_key(settings, message):
    with pytest.raises(InputError, match=f"^a.yaml: .*{message}"):
        laid_over(Outer(), settings, source="a.yaml")


@pytest.mark.parametrize(("name", "text"), [("a.toml", "[fit]\nlr = 0.5\n"), ("a.yaml", "fit:\n  lr: 5e-1\n")])
def test_configuration_files(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert laid_over(CAdvUL(), read_settings(path)).fit.lr == 0.5


def test_bad_configuration_files_get_one_sentence(tmp_path):
    assert read_settings(None) is None
    (tmp_path / "a.toml").write_text("= nothing")
    (tmp_path / "b.yaml").write_text("- a list")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\xff")
    for name, match in (
        ("a.toml", "not valid toml"),
        ("b.yaml", "names with values"),
        ("c.yaml", "not valid yaml"),
        ("c.toml", "no such file"),
    ):
        with pytest.raises(InputError, match=match):
            read_settings(tmp_path / name)
    with pytest.raises(InputError, match=r"\.toml, \.yaml"):
        read_settings(tmp_path / "d.ini")
