"""`trued align honesty-…`: the variant is the command's, the adapter is written, bad input ends before the work."""

import json
from typing import get_args

import pytest

from trued.cli.main import main
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.train.honesty.align import Variant

QUICK = [
    "--model",
    "tiny",
    "--fit.steps",
    "1",
    "--fit.batch-size",
    "2",
    "--lora-r",
    "2",
    "--m",
    "2",
    "--answer-tokens",
    "3",
]


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Questions of which the tiny model knows half: its own replies are declared right."""
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    lm = tiny_model()
    questions = [f"What is {i}?" for i in range(40)]
    replies = [g[0] for g in lm.generate([f"Q: {q}\nA:" for q in questions], max_new_tokens=3, stop=("\n",))]
    right = [(q, r) for q, r in zip(questions, replies, strict=True) if any(c.isalnum() for c in r)][:4]
    wrong = [(q, "xyzzy") for q in questions if q not in dict(right)][:4]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps({"question": q, "answers": [a]}) for q, a in [*right, *wrong]))
    return path


@pytest.mark.parametrize("variant", get_args(Variant))
def test_each_variant_writes_an_adapter_with_its_settings(variant, rows, tmp_path, capsys):
    output = tmp_path / "adapter"
    words = ["align", f"honesty-{variant}", "--data", str(rows), "--output", str(output), *QUICK, "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 1
    settings = json.loads((output / "training.json").read_text())["settings"]
    assert (settings["method"], settings["m"]) == (variant, 2)
    assert (output / "adapter_model.safetensors").is_file()


def test_the_terminal_says_what_was_known_and_how_to_check(rows, tmp_path, capsys):
    output = tmp_path / "adapter"
    assert main(["align", "honesty-absolute", "--data", str(rows), "-o", str(output), "--tau", "0.5", *QUICK]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "knew 4 of 8 questions" in out
    assert f"trued check {output} --against base --honesty" in out
    assert json.loads((output / "training.json").read_text())["settings"]["tau"] == 0.5


def test_only_absolute_has_a_threshold(rows, tmp_path, capsys):
    assert main(["align", "honesty-multisample", "--data", str(rows), "-o", str(tmp_path / "a"), "--tau", "0.5"]) == 2
    assert "--tau" in capsys.readouterr().err


def test_bad_rows_and_taken_folders_end_before_the_model_is_loaded(rows, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: pytest.fail("a model was loaded")))
    rows.write_text(json.dumps({"question": "Who?", "answers": "Ada"}))
    assert main(["align", "honesty-absolute", "--data", str(rows), "--output", str(tmp_path / "a")]) == 2
    assert "row 1: 'answers' is a text" in capsys.readouterr().err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "adapter_config.json").write_text("{}")
    assert main(["align", "honesty-absolute", "--output", str(tmp_path / "taken")]) == 2
    assert "already contains an adapter" in capsys.readouterr().err
