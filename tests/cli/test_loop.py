"""`trued loop` from end to end on a random model: four steps, a report, and going on where it was cut off."""

import json

import pytest

from trued.cli import loop as room
from trued.cli.main import main
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.measure.check import safety
from trued.language.measure.check.safety import CheckConfig
from trued.language.train import recipe
from trued.language.train.recipe import Recipe

FEW = CheckConfig.quick(
    harmful=3, lookalikes=3, general=3, prefilled=2, attacked=2, prefill=(1,), max_new_tokens=2, steps=1
)
SHORT = Recipe(steps=2, batch_size=4, lora_r=2, attack_steps=1, validate_every=1, new_tokens=1, utility_tokens=2)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    monkeypatch.setattr(room, "check_config", lambda *, quick: CheckConfig.quick() if quick else FEW)
    monkeypatch.setattr(recipe, "Recipe", lambda **_: SHORT)


def test_the_loop_ends_with_an_adapter_and_a_report(small, tmp_path, capsys):
    assert main(["loop", "--model", "any", "--output", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert [told.index(f"{n}/4") for n in (1, 2, 3, 4)] == sorted(told.index(f"{n}/4") for n in (1, 2, 3, 4))
    assert told.strip().endswith(str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert "src=" not in page
    assert "How it was aligned" in page
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    after = json.loads((tmp_path / "after.json").read_text())
    assert after["baseline"]["metrics"][0]["id"] == after["metrics"][0]["id"]


def test_a_loop_that_was_cut_off_goes_on(small, tmp_path, monkeypatch):
    calls = []
    real = safety.check

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(safety, "check", counted)
    arguments = ["loop", "--model", "any", "--output", str(tmp_path)]
    assert main(arguments) == 130
    assert (tmp_path / "before.json").exists()
    assert not (tmp_path / "report.html").exists()
    assert main(arguments) == 0
    assert len(calls) == 3  # the first check was kept


def test_other_settings_are_refused_until_fresh(small, tmp_path, capsys):
    arguments = ["loop", "--model", "any", "--output", str(tmp_path)]
    assert main(arguments) == 0
    before = (tmp_path / "before.json").read_text()
    (tmp_path / "before.json").write_text(before.replace('"steps": 1', '"steps": 5'))
    assert main(arguments) == 2
    assert "--fresh" in capsys.readouterr().err
    assert main([*arguments, "--fresh"]) == 0
