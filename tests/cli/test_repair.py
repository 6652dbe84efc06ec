"""`trued repair` from two folders to a repaired one, there and back, and what it refuses before long work."""

import json

import pytest
import torch

from trued.cli import repair as room
from trued.cli.main import main
from trued.files import MARKER, cache_dir
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model
from trued.language.measure.check.safety import CheckConfig
from trued.learn.weights import Patch, WeightsFolder

FEW = CheckConfig.quick(
    attacks=("direct",), harmful=2, lookalikes=2, general=2, attacked=2, max_new_tokens=1, multiples=(0.0,), steps=1
)
SHORT = ["--steps", "2", "--warmup", "1", "--save-every", "1", "--rate", "0.01"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An aligned and a fine-tuned tiny model, and the files that a repair is given."""
    monkeypatch.setattr(room, "check_config", lambda *, quick: FEW)
    monkeypatch.setattr(room, "answered", lambda lm, questions: 0.5)
    lm = tiny_model(layers=3)
    save(lm, tmp_path / "aligned")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in lm.base.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    save(lm, tmp_path / "tuned")
    (tmp_path / "harmful.txt").write_text("a bad thing\n\na worse thing\n")
    rows = [{"prompt": "one", "completion": "uno"}, {"prompt": "two", "completion": "dos"}]
    (tmp_path / "task.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def save(lm, folder):
    lm.base.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)


def words(folder, output="out", **given):
    options = {"finetuned": "tuned", "aligned": "aligned", "harmful": "harmful.txt", "task-prompts": "task.jsonl"}
    options |= given
    found = [word for name, value in options.items() for word in (f"--{name}", str(folder / value))]
    return ["repair", *found, "--output", str(folder / output), *SHORT]


def test_it_repairs_checks_and_can_be_undone(folders, capsys):
    assert main(words(folders)) == 0
    told = capsys.readouterr()
    assert "weights restored" in told.out
    assert "step   2" in told.err
    out = folders / "out"
    page = (out / "report.html").read_text()
    assert "How it was repaired" in page
    assert "src=" not in page
    record = json.loads((out / "repair.json").read_text())
    assert record["chosen_step"] == 2
    tuned, aligned, repaired = (WeightsFolder(folders / name) for name in ("tuned", "aligned", "out"))
    changed = {name: repaired[name] != tuned[name] for name in tuned}
    assert sum(int(mask.sum()) for mask in changed.values()) == record["restored"] > 0
    assert all(torch.equal(repaired[n][mask], aligned[n][mask]) for n, mask in changed.items())
    patch = str(out / "patch.safetensors")
    assert main(["repair", "--revert", patch, "--finetuned", str(out), "--output", str(folders / "back")]) == 0
    back = WeightsFolder(folders / "back")
    assert all(torch.equal(back[name], tuned[name]) for name in tuned)
    assert main(["repair", "--apply", patch, "--finetuned", str(folders / "tuned"), "-o", str(folders / "again")]) == 0
    again = WeightsFolder(folders / "again")
    assert all(torch.equal(again[name], repaired[name]) for name in tuned)
    assert main(["repair", "--apply", patch, "--finetuned", str(out), "-o", str(folders / "twice")]) == 2
    assert "it is there already" in capsys.readouterr().err
    assert not (folders / "twice").exists()


def test_an_adapter_is_merged_and_only_the_patch_is_written(folders, capsys):
    lm = LanguageModel.load(folders / "aligned", dtype=torch.float32).with_lora(2)
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.02)
    lm.save_adapter(folders / "adapter")
    assert main([*words(folders, finetuned="adapter"), "--patch-only", "--max-task-drop", "0.9", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == "recovered"
    assert told["after"]["baseline"]["metrics"]
    assert {p.name for p in (folders / "out").iterdir()} == {
        MARKER, "patch.safetensors", "repair.json", "report.html",
    }  # fmt: skip


def test_a_repair_that_was_cut_off_goes_on(folders, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    from trued.language.measure.check import safety
    from trued.language.repair.alignment_recovery import recover as recovery

    calls = {"recover": 0, "check": 0}
    recover, check = recovery.recover, safety.check

    def recovering(*arguments, **options):
        calls["recover"] += 1
        return recover(*arguments, **options)

    def checking(lm, before, *arguments, **options):
        calls["check"] += 1
        if before is not None and calls["check"] == 2:
            raise KeyboardInterrupt
        return check(lm, before, *arguments, **options)

    monkeypatch.setattr(recovery, "recover", recovering)
    monkeypatch.setattr(safety, "check", checking)
    assert main([*words(folders), "--patch-only"]) == 130
    assert "the same command continues it" in capsys.readouterr().err
    assert not (folders / "out").exists()
    assert main([*words(folders), "--patch-only"]) == 0
    assert "the restored weights are those of the run that was cut off" in capsys.readouterr().err
    assert calls["recover"] == 1
    first = json.loads((folders / "out" / "repair.json").read_text())
    assert first["restored"] > 0
    tuned, aligned = (WeightsFolder(folders / name) for name in ("tuned", "aligned"))
    patch = Patch.load(folders / "out" / "patch.safetensors")
    assert patch.count == first["restored"]
    for name, change in patch.changes.items():
        assert torch.equal(tuned[name].flatten()[change.indices.long()], change.old)
        assert torch.equal(aligned[name].flatten()[change.indices.long()], change.new)
    unfinished = cache_dir() / "unfinished"
    assert not list(unfinished.glob("*"))  # nothing is left once the work is done


def test_nothing_to_recover_writes_nothing(folders, monkeypatch, capsys):
    monkeypatch.setattr(room, "answered", lambda lm, questions: 0.0)
    assert main(words(folders)) == 0
    assert "answers none of the 2 harmful questions: nothing to recover. Nothing was written" in capsys.readouterr().out
    assert not (folders / "out").exists()


def test_a_task_that_no_checkpoint_keeps_is_a_shortfall(folders, monkeypatch, capsys):
    scores = iter([1.0, 0.1, 0.1])
    monkeypatch.setattr(room, "_served_score", lambda rows, metric: lambda lm: next(scores))
    assert main(words(folders)) == 1
    assert "no checkpoint kept 95% of the task's score" in capsys.readouterr().out
    assert not (folders / "out").exists()


def test_another_chat_template_is_seen(folders, capsys):
    path = folders / "tuned" / "chat_template.jinja"
    path.write_text(path.read_text().replace("assistant\n", "helper\n"))
    assert main(words(folders)) == 2
    assert "one tokenizer and one chat template" in capsys.readouterr().err


def test_questions_that_a_model_answers_are_counted(tiny, monkeypatch):
    monkeypatch.undo()
    replies = [["I'm sorry, but I can't help with that."], ["Sure, here is how."], [""]]
    monkeypatch.setattr(tiny, "generate", lambda asked, max_new_tokens: replies)
    assert room.answered(tiny, ["a", "b", "c"]) == pytest.approx(2 / 3)  # an empty reply is no refusal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--finetuned", "x"], "a repair needs two models"),
        (["--apply", "x", "--revert", "y"], "both given"),
        (["--revert", "x"], "which model"),
        (["--revert", "none.safetensors", "--finetuned", "x"], "there is no such patch"),
        (["--finetuned", "x", "--aligned", "y", "--harmful", "none.txt"], "there is no such file"),
        (["--finetuned", "x", "--aligned", "y", "--rate", "2"], "rate is 2.0"),
    ],
)
def test_bad_use_is_said_in_one_sentence(arguments, message, tmp_path, capsys):
    assert main(["repair", *arguments, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_in_use_and_empty_questions_are_refused(folders, capsys):
    assert main(words(folders, output="tuned")) == 2
    assert "already contains a model or a patch" in capsys.readouterr().err
    (folders / "harmful.txt").write_text("\n")
    assert main(words(folders)) == 2
    assert "has no questions" in capsys.readouterr().err
