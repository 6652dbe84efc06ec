"""`trued align`: options over a method's own defaults, files, refusals before long work, and what is written."""

import dataclasses
import json

import pytest

from trued.cli.align import app as align
from trued.cli.main import main
from trued.cli.settings import laid_over, options_of, read_settings
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.train.c_advul import CAdvIPO, CAdvUL

ROW = {"prompt": "tell me", "targets": ["Sure, here"], "safe_reply": "No, I won't."}
QUICK = ["--fit.steps", "1", "--fit.batch-size", "2", "--fit.accumulation", "1", "--lora-r", "2", "--attack.steps", "1"]


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(ROW) for _ in range(4)))
    return path


def test_an_option_leaves_the_methods_other_defaults_alone():
    options = options_of(CAdvUL())
    fit = dataclasses.fields(options)[[f.name for f in dataclasses.fields(options)].index("fit")]
    assert fit.default is None
    method = laid_over(CAdvUL(), {"fit": {"lr": 0.5}, "lora-r": 3})
    assert method.fit.lr == 0.5
    assert method.fit.batch_size == CAdvUL().fit.batch_size
    assert method.lora_r == 3
    assert laid_over(CAdvUL(), None) == CAdvUL()


def test_setting_steps_unsets_epochs():
    method = laid_over(CAdvIPO(), {"fit": {"steps": 7}})
    assert (method.fit.steps, method.fit.epochs) == (7, None)


def test_unknown_settings_name_the_nearest():
    with pytest.raises(InputError, match="lora_alpha"):
        laid_over(CAdvUL(), {"lora_alfa": 1})


@pytest.mark.parametrize(("name", "text"), [("a.toml", "[fit]\nlr = 0.5\n"), ("a.yaml", "fit:\n  lr: 0.5\n")])
def test_configuration_files(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert laid_over(CAdvUL(), read_settings(path)).fit.lr == 0.5


def test_bad_configuration_files_get_one_sentence(tmp_path):
    assert read_settings(None) is None
    (tmp_path / "a.toml").write_text("= nothing")
    (tmp_path / "b.yaml").write_text("- a list")
    for name, match in (("a.toml", "not valid toml"), ("b.yaml", "names with values"), ("c.toml", "no such file")):
        with pytest.raises(InputError, match=match):
            read_settings(tmp_path / name)
    with pytest.raises(InputError, match=r"\.toml, \.yaml"):
        read_settings(tmp_path / "d.ini")


def test_it_writes_an_adapter_that_peft_loads(rows, tmp_path, capsys):
    from peft import PeftModel

    output = tmp_path / "adapter"
    code = main(["align", "c-advipo", "--data", str(rows), "--output", str(output), *QUICK, "--json"])
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 1
    record = json.loads((output / "training.json").read_text())
    assert record["settings"]["fit"]["steps"] == 1
    assert record["settings"]["fit"]["lr"] == CAdvIPO().fit.lr
    PeftModel.from_pretrained(tiny_model().base, str(output))


def test_bad_rows_are_named_and_nothing_is_trained(rows, tmp_path, capsys):
    rows.write_text(json.dumps({**ROW, "safe_reply": ""}))
    code = main(["align", "c-advul", "--data", str(rows), "--output", str(tmp_path / "out")])
    assert code == 2
    assert "row 1: 'safe_reply' is empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_not_overwritten(rows, tmp_path, capsys):
    output = tmp_path / "adapter"
    output.mkdir()
    (output / "adapter_config.json").write_text("{}")
    assert main(["align", "c-advul", "--data", str(rows), "--output", str(output)]) == 2
    assert "holds an adapter already" in capsys.readouterr().err


def test_look_line_reads():
    from trued.language.train.recipe import TradeOff

    assert align.look_line(TradeOff(8, 0.5, 0.25, 0.0)) == (
        "step   8: harmful refused 50%, in templates 25%, look-alikes refused 0%"
    )
