"""`trued align`: methods from the table, refusals before long work, resuming, and what is written."""

import json
import signal

import pytest

from trued.cli.align.finish import look_line
from trued.cli.main import main
from trued.cli.methods import METHODS
from trued.language.engine import embedded
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.train.c_advul import CAdvIPO
from trued.language.train.preference import PreferenceTraining
from trued.learn.fit import progress

ROW = {"prompt": "tell me", "targets": ["Sure, here"], "safe_reply": "No, I won't."}
QUICK = ["--fit.steps", "1", "--fit.batch-size", "2", "--fit.accumulation", "1", "--lora-r", "2", "--attack.steps", "1"]


def tiny_default(monkeypatch):
    """Put a tiny model in the place of every other, so that the embedded one is not made from its package."""
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    monkeypatch.setattr(embedded, "default_model", lambda *_, **__: None)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    tiny_default(monkeypatch)
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(ROW) for _ in range(4)))
    return path


def test_it_writes_an_adapter_that_peft_loads(rows, tmp_path, capsys):
    from peft import PeftModel

    output, utility = tmp_path / "adapter", tmp_path / "kept.jsonl"
    utility.write_text(json.dumps({"prompt": "hello", "completion": "Hello."}))
    words = ["align", "c-advipo", "--data", str(rows), "--utility", str(utility), "--output", str(output)]
    code = main([*words, *QUICK, "--json"])
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["steps"] == 1
    record = json.loads((output / "training.json").read_text())
    assert record["settings"]["fit"]["steps"] == 1
    assert record["settings"]["fit"]["lr"] == CAdvIPO().fit.lr
    PeftModel.from_pretrained(tiny_model().base, str(output))


def test_json_alone_is_on_standard_output_and_the_training_says_how_far_it_is(rows, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "MINUTE", 0.001)
    words = ["align", "c-advul", "--data", str(rows), "--utility", str(tmp_path / "kept.jsonl"), *QUICK, "--json"]
    (tmp_path / "kept.jsonl").write_text(json.dumps({"prompt": "hello", "completion": "Hello."}))
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["steps"] == 1
    assert "min so far" in printed.err


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
    assert "already contains an adapter" in capsys.readouterr().err


def test_look_line_reads():
    from trued.language.train.recipe import TradeOff

    assert look_line(TradeOff(8, 0.5, 0.25, 0.0)) == (
        "step   8: harmful refused 50%, in templates 25%, look-alikes refused 0%"
    )


PAIR = {"Goal": "What is 1 + 1?", "chosen": "It is 2.", "rejected": "I don't like sums."}
DPO_QUICK = ["--fit.batch-size", "2", "--lora-r", "2"]


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    tiny_default(monkeypatch)
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(PAIR | {"Goal": f"What is {i} + 1?"}) for i in range(8)))
    return path


def dpo(pairs, output, *options):
    words = ["align", "dpo", "--data", str(pairs), "--output", str(output), "--columns", "prompt=Goal"]
    return main([*words, *DPO_QUICK, *options])


def test_dpo_trains_an_adapter_that_prefers_the_chosen_replies(pairs, tmp_path, capsys):
    output = tmp_path / "adapter"
    assert dpo(pairs, output, "--fit.epochs", "4", "--fit.lr", "1e-3") == 0
    assert "100% of the pairs ranked right" in capsys.readouterr().out
    record = json.loads((output / "training.json").read_text())
    assert record["steps"] == 16
    assert record["history"][-1]["margin"] > record["history"][0]["margin"]
    assert (output / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("loss", ["simpo", "ipo", "cpo"])
def test_the_relatives_of_dpo_are_named_by_their_loss(pairs, tmp_path, capsys, loss):
    assert dpo(pairs, tmp_path / "adapter", "--fit.epochs", "1", "--loss", loss, "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "prompt=Gaol"], "row 1: no column 'Gaol' for 'prompt', only 'Goal', 'chosen' and 'rejected'"),
        (["--columns", "prompt:Goal"], "--columns 'prompt:Goal' is not understood"),
        (["--columns", "promt=Goal"], "there is no column 'promt' to name; did you mean prompt"),
        (["--columns", "prompt=rejected,rejected=chosen"], "'chosen' and 'rejected' are the same"),
        (["--loss", "simpoo"], "did you mean simpo"),
        (["--loss", "ipo", "--gamma", "2"], "the ipo loss has no option 'gamma'"),
        (["--resume"], "has no checkpoint to resume"),
        (["--resume", "--fresh"], "--resume and --fresh were both given"),
        (["--output", "."], "the folder you are in"),
    ],
)
def test_bad_use_is_said_before_a_model_is_loaded(pairs, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.setattr(LanguageModel, "load", None)
    monkeypatch.chdir(tmp_path)
    words = ["align", "dpo", "tiny", "--data", str(pairs)]
    defaults = {"--output": str(tmp_path / "out"), "--columns": "prompt=Goal"}
    for name, value in defaults.items():
        words += [] if name in options else [name, value]
    assert main([*words, *options]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_an_earlier_run_is_neither_lost_nor_started_over_silently(pairs, tmp_path, capsys, monkeypatch):
    output = tmp_path / "adapter"
    losses = PreferenceTraining.losses
    steps = iter(range(99))

    def cut(self, *arguments):
        if next(steps) == 5:
            signal.raise_signal(signal.SIGINT)
        return losses(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(PreferenceTraining, "losses", cut)
        assert dpo(pairs, output, "--fit.epochs", "2") == 130
    step = json.loads((output / "checkpoint" / "record.json").read_text())["record"]["state"]["step"]
    assert 0 < step < 8
    capsys.readouterr()
    assert dpo(pairs, output, "--fit.epochs", "2") == 2
    message = capsys.readouterr().err
    assert "--resume" in message
    assert "--fresh" in message
    assert (output / "checkpoint").is_dir()

    assert dpo(pairs, output, "--fit.epochs", "2", "--resume") == 0
    assert json.loads((output / "training.json").read_text())["steps"] == 8
    whole = tmp_path / "whole"
    assert dpo(pairs, whole, "--fit.epochs", "2") == 0
    assert (output / "adapter_model.safetensors").read_bytes() == (whole / "adapter_model.safetensors").read_bytes()

    assert dpo(pairs, output, "--fit.epochs", "1") == 2
    assert "already contains an adapter" in capsys.readouterr().err
    assert dpo(pairs, output, "--fit.epochs", "1", "--fresh") == 0
    assert json.loads((output / "training.json").read_text())["steps"] == 4


@pytest.mark.parametrize("option", [[], ["--fresh"]])
def test_files_of_others_stay_where_they_are(pairs, tmp_path, capsys, option):
    output = tmp_path / "theirs"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    assert dpo(pairs, output, *option) == 2
    assert "give another output" in capsys.readouterr().err
    assert (output / "thesis.txt").read_text() == "years of work"


def test_a_configuration_file_gives_way_to_options(pairs, tmp_path, capsys):
    config = tmp_path / "dpo.yaml"
    config.write_text("loss: ipo\nfit:\n  lr: 1e-3\n  steps: 1\n")
    assert dpo(pairs, tmp_path / "a", "--config", str(config), "--fit.steps", "2") == 0
    settings = json.loads((tmp_path / "a" / "training.json").read_text())["settings"]
    assert (settings["loss"], settings["fit"]["lr"], settings["fit"]["steps"]) == ("ipo", 1e-3, 2)
    config.write_text("fit:\n  lr: fast\n")
    assert dpo(pairs, tmp_path / "b", "--config", str(config)) == 2
    assert f"{config}: fit.lr is 'fast': expected a number" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("options", [[], ["--tune", "full"], ["--tune", "full", "--constrained"]])
def test_fine_tuning_learns_the_replies(pairs, tmp_path, capsys, options):
    output = tmp_path / "tuned"
    words = ["align", "fine-tune", "tiny", "--data", str(pairs), "--columns", "prompt=Goal,completion=chosen"]
    quick = ["--fit.epochs", "3", "--fit.lr", "1e-2", "--fit.batch-size", "4"]
    assert main([*words, "--output", str(output), *quick, *options, "--json"]) == 0
    assert ("model" if options else "adapter") in json.loads(capsys.readouterr().out)
    history = json.loads((output / "training.json").read_text())["history"]
    assert history[-1]["loss"] < history[0]["loss"]
    assert main([*words, "--output", str(tmp_path / "b"), "--constrained"]) == 2
    assert "needs all weights" in capsys.readouterr().err


def test_the_model_is_named_first_or_by_its_option(pairs, tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(
        LanguageModel, "load", classmethod(lambda _, source, **__: names.append(source) or tiny_model())
    )
    words = ["--data", str(pairs), "--columns", "prompt=Goal", "--fit.epochs", "1", *DPO_QUICK, "--json"]
    assert main(["align", "dpo", "first", *words, "--output", str(tmp_path / "a")]) == 0
    assert main(["align", "dpo", "--model", "named", *words, "--output", str(tmp_path / "b")]) == 0
    assert names == ["first", "named"]


def test_every_method_of_the_table_can_be_called():
    from trued.cli.align import app, training

    for slug, entry in app.ALIGN.items():
        assert callable(getattr(training, entry.train))
        assert f"align {slug}" in METHODS
