"""`trued align mixat`: variants and rewriters as options, what is written, and refusals before long work."""

import json

import pytest

from trued.cli.main import main
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.train.mixat.align import MixAT

ROW = {"prompt": "tell me", "targets": ["Sure, here"], "safe_reply": "No, I won't."}
QUICK = [
    "--fit.steps", "2", "--fit.batch-size", "2", "--fit.accumulation", "1", "--lora-r", "2", "--attack.steps", "1",
    "--adversarial-share", "1",
]  # fmt: skip


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda *_, **__: tiny_model()))
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(ROW) for _ in range(4)))
    return path


def mixat(rows, output, *options):
    return main(["align", "mixat", "--model", "tiny", "--data", str(rows), "--output", str(output), *QUICK, *options])


def test_it_writes_an_adapter_and_what_it_was_trained_on(rows, tmp_path, capsys):
    from peft import PeftModel

    output = tmp_path / "adapter"
    assert mixat(rows, output, "--alpha", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["adapter"] == str(output)
    record = json.loads((output / "training.json").read_text())["settings"]
    assert (record["rewritten"], record["continuous"], record["lost"]) == (1.0, 1.0, 0.0)
    assert record["fit"]["lr"] == MixAT().fit.lr
    assert record["attack"]["eps"] == 0.075
    PeftModel.from_pretrained(tiny_model().base, str(output))


def test_all_weights_can_be_trained_and_are_written_whole(rows, tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    output = tmp_path / "model"
    assert mixat(rows, output, "--tune", "full", "--variant", "d", "--rewriter", "templates") == 0
    assert "templates(20): 100% of the batches rewritten, 0% attacked" in capsys.readouterr().err.replace("\n", " ")
    model = AutoModelForCausalLM.from_pretrained(output, use_safetensors=True)
    assert not model.get_input_embeddings().weight.equal(tiny_model().base.get_input_embeddings().weight)
    assert AutoTokenizer.from_pretrained(output).chat_template
    assert mixat(rows, output) == 2
    assert "already contains a model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--alpha", "1.5"], "alpha is 1.5: a share"),
        (["--tau", "3"], "tau is 3.0"),
        (["--rewriter", "attacker"], "an attacker needs both"),
        (["--attacker", "somebody"], "an attacker needs both"),
        (["--tune", "full", "--kl-weight", "1"], "needs the base beside"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(rows, tmp_path, capsys, monkeypatch, options, match):
    monkeypatch.setattr(LanguageModel, "load", None)
    assert mixat(rows, tmp_path / "out", *options) == 2
    assert match in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
