"""`trued sample`: texts, what they cost, JSON, settings from a file, and refusals before long work."""

from __future__ import annotations

import json

import pytest

from trued.cli.main import main
from trued.data.plays import train_bpe
from trued.generation.masked.model import MaskedConfig, TinyMaskedLM
from trued.generation.masked.text import save_tiny
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    bpe = train_bpe(["to be or not to be that is the question " * 4], 280)
    return str(save_tiny(TinyMaskedLM(MaskedConfig(280, 12, 8, 1, 2)), bpe, tmp_path_factory.mktemp("m") / "small"))


def test_json_has_texts_and_costs(folder, capsys, monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    assert main(["sample", folder, "--length", "6", "-n", "2", "--reference", "tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["calls"], found["draws"], found["law"]) == (6, 12, "exact")
    assert found["evaluations"] == [6, 6]
    assert len(found["texts"]) == len(found["entropy"]) == len(found["nll"]) == 2
    main(["sample", folder, "--length", "6", "-n", "2", "--json"])
    again = json.loads(capsys.readouterr().out)
    assert again["texts"] == found["texts"]
    assert again["nll"] is None


def test_the_prompt_is_kept_and_the_account_is_printed(folder, capsys):
    assert main(["sample", folder, "--prompt", "to be[MASK][MASK] question", "-n", "1"]) == 0
    out = capsys.readouterr().out
    assert "to be" in out
    assert " question" in out
    assert "2 network calls for 1 texts, 2 draws a text" in out
    assert "entropy" in out


def test_options_go_before_a_file_of_settings(folder, capsys, tmp_path):
    (tmp_path / "s.toml").write_text('sampler = "ancestral"\nsteps = 5\ntemperature = 0.5\n')
    words = ["sample", folder, "--length", "6", "--config", str(tmp_path / "s.toml"), "--steps", "3", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sampler"]["sampler"], found["sampler"]["steps"]) == ("ancestral", 3)
    assert found["law"] == "3 steps, whose tokens are independent given the rest; temperature 0.5"


def test_a_changed_law_is_said(folder, capsys):
    assert main(["sample", folder, "--length", "4", "-n", "1", "--top-p", "0.5", "--draw", "gumbel32"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "do not have the model's own law: top-p 0.5; 32-bit Gumbel noise" in said
    assert main(["sample", folder, "--length", "4", "-n", "1", "--steps", "2"]) == 0
    assert "tokens that share a call are independent given the rest" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-n", "0"], "-n 0: draw at least 1 text"),
        (["--temperature", "0"], "temperature is 0"),
        (["--steps", "0"], "steps is 0"),
        (["--order", "2"], "order 2 is for several tokens a call"),
        (["--length", "40"], "takes 12 at most"),
        (["--schedule", "sine"], "no schedule is called 'sine'"),
        (["-n", "2.7"], "'2.7' is not a whole number"),
        (["--length", "6.4"], "'6.4' is not a whole number"),
        (["--steps", "2.7"], "'2.7' is not a whole number"),
        (["--seed", "99999999999999999999"], "seed is 99999999999999999999: give a whole number from 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--top-p", "1.5"], "top_p is 1.5"),
        (["--device", "banana"], "device 'banana' is not on this machine"),
        (["--device", "cuda:99"], "device 'cuda:99' is not on this machine"),
    ],
)
def test_bad_use_is_code_2_and_one_sentence(folder, capsys, words, said):
    assert main(["sample", folder, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("text", ["{", "[]", '"words"', "\udce4"])
def test_broken_settings_of_a_model_are_one_sentence(tmp_path, capsys, text):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(text, errors="surrogateescape")
    assert main(["sample", str(tmp_path / "m"), "--length", "4"]) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_reference_is_opened_before_anything_is_drawn(folder, capsys, tmp_path):
    assert main(["sample", folder, "--length", "4", "--reference", str(tmp_path)]) == 2
    assert not capsys.readouterr().out
