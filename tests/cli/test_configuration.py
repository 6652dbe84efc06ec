"""Settings from files: values become the types of their fields, and errors name the file and the key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from trued.cli.main import main
from trued.cli.settings import described, options_of, read_settings, read_template, with_settings
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.template import ChatFormat
from trued.language.engine.tiny import tiny_model


@dataclass(frozen=True)
class Inner:
    lr: float = 0.1
    steps: int | None = None
    epochs: int | None = 3


@dataclass(frozen=True)
class Method:
    fit: Inner = field(default_factory=Inner)
    variant: Literal["a", "b"] = "a"
    count: int | Literal["all"] = 2
    radii: tuple[float, ...] = (0.0, 1.0)
    keep: bool = True
    name: str = "x"
    share: float = 0.5
    judge: object = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"share is {self.share}: give 0 to 1")


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_values_become_the_types_of_their_fields(tmp_path) -> None:
    path = written(
        tmp_path,
        "fit: {lr: 1e-3, steps: 200}\nvariant: b\ncount: all\nradii: [0, 1e-1]\nkeep: false\nshare: 1\n",
    )
    method = with_settings(Method(), path, None)
    assert method == Method(
        Inner(0.001, 200, None), "b", "all", (0.0, 0.1), False, share=1.0
    )  # fmt: skip
    assert type(method.fit.lr) is type(method.share) is float
    assert type(method.fit.steps) is int
    assert isinstance(method.radii, tuple)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fit: {lr: fast}", "fit.lr is 'fast': expected a number"),
        ("fit: {steps: 2.5}", "fit.steps is 2.5: expected a whole number"),
        ("fit: {lr: true}", "fit.lr is True: expected a number"),
        ("fit: 3", "fit is 3: it takes settings of its own, or none at all"),
        ("fit: {step: 3}", "there is no setting 'fit.step'; did you mean steps"),
        ("variant: c", "variant is 'c': expected one of a, b"),
        ("count: some", "count is 'some': expected a whole number or one of all"),
        ("radii: 1", "radii is 1: expected a list, each of it a number"),
        ("keep: 1", "keep is 1: expected true or false"),
        ("name: 1", "name is 1: expected a text"),
        ("judge: phrase", "judge is 'phrase': it takes settings of its own, or none at all"),
        ("share: 2", "share is 2.0: give 0 to 1"),
    ],
)
def test_errors_name_the_file_and_the_key_and_no_class(tmp_path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        with_settings(Method(), path, None)
    assert str(error.value).startswith(f"{path}: {says}")
    assert "Method" not in str(error.value)
    assert "Inner" not in str(error.value)


def test_options_go_before_the_file(tmp_path) -> None:
    classes: dict = {}
    options = options_of(described(Method(), classes=classes), classes)
    fit = options_of(described(Inner(), classes=classes), classes)
    method = with_settings(Method(), written(tmp_path, "fit: {lr: 1e-3, epochs: 4}"), options(fit=fit(lr=0.7)))
    assert method.fit == Inner(0.7, None, 4)
    assert dataclasses.replace(method, fit=Inner()) == Method()


def test_gates_stand_in_the_file_of_a_check(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    path = written(tmp_path, "harmful: 2\nlookalikes: 2\ngeneral: 2\nattacked: 2\nattacks: [direct]\n"
                             "max_new_tokens: 2\n"
                             "multiples: [0]\nsteps: 1\ngates: {max_asr: 0.5}\n")  # fmt: skip
    assert main(["check", "x", "--config", str(path)]) == 1
    assert "gate max-asr fell short" in capsys.readouterr().err
    assert main(["check", "x", "--config", str(path), "--max-asr", "1"]) == 0
    capsys.readouterr()
    assert main(["check", "x", "--config", str(written(tmp_path, "gates: {max_asr: 7}"))]) == 2
    assert f"{path}: max_asr is 7.0" in capsys.readouterr().err


def test_a_template_is_text_or_a_file_that_is_there(tmp_path) -> None:
    jinja = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (tmp_path / "chat.jinja").write_text(jinja)
    assert read_template(str(tmp_path / "chat.jinja")) == read_template(jinja) == jinja
    assert read_template("none") == "none"
    assert read_template(None) is None
    with pytest.raises(InputError, match=r"missing\.jinja: there is no such file"):
        read_template(str(tmp_path / "missing.jinja"))
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(InputError, match="never uses 'messages'"):
        read_template(str(tmp_path / "rows.jsonl"))
    (tmp_path / "model.safetensors").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text"):
        read_template(str(tmp_path / "model.safetensors"))


def test_a_rendered_prompt_contains_its_message() -> None:
    tokenizer = tiny_model().tokenizer
    with pytest.raises(InputError, match="does not show the message"):
        ChatFormat(tokenizer, '{"messages": []}')
    shown = ChatFormat(tokenizer, "{% for m in messages %}{{ m.content }} {% endfor %}")
    assert "hello" in shown.render("hello")


def test_a_config_file_and_a_template_may_be_utf_16(tmp_path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_bytes("lr: 0.5\n".encode("utf-16"))
    assert read_settings(config) == {"lr": 0.5}
    template = tmp_path / "chat.jinja"
    template.write_bytes("{% for m in messages %}{{ m.content }}{% endfor %}".encode("utf-16"))
    assert "m.content" in str(read_template(str(template)))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.yaml", b'prompt: "x \\ud83d"\n', "half of a character"),
        ("a.yaml", b'"\\ud83d": 1\n', "half of a character"),
        ("a.yaml", b'a: [1, {b: ["\\ude00"]}]\n', "half of a character"),
        ("a.yaml", b"a: caf\xe9\n", "no text in UTF-8"),
        ("a.toml", b"a = 1\x00\n", "zero bytes"),
    ],
)
def test_a_config_file_that_is_no_whole_text_is_refused_by_name(name, data, says, tmp_path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=says) as raised:
        read_settings(tmp_path / name)
    assert name in str(raised.value)


def test_a_config_file_with_an_alias_of_itself_ends() -> None:
    import yaml

    from trued.cli.settings import _check_whole

    _check_whole(yaml.safe_load("&a [x, *a]"))
