"""`trued repair` from two folders to a repaired one, there and back."""

import json

import torch

from trued.cli.main import main
from trued.cli.repair import job
from trued.files import MARKER, cache_dir
from trued.language.engine.model import LanguageModel
from trued.learn.weights import Patch, WeightsFolder

SHORT = ["--steps", "2", "--warmup", "1", "--save-every", "1", "--rate", "0.01"]


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
    monkeypatch.setattr(job, "answered", lambda lm, questions: 0.0)
    assert main(words(folders)) == 0
    assert "answers none of the 2 harmful questions: nothing to recover. Nothing was written" in capsys.readouterr().out
    assert not (folders / "out").exists()


def test_a_task_that_no_checkpoint_keeps_is_a_shortfall(folders, monkeypatch, capsys):
    scores = iter([1.0, 0.1, 0.1])
    monkeypatch.setattr(job, "served_score", lambda rows, metric: lambda lm: next(scores))
    assert main(words(folders)) == 1
    assert "no checkpoint kept 95% of the task's score" in capsys.readouterr().out
    assert not (folders / "out").exists()


def test_another_chat_template_is_seen(folders, capsys):
    path = folders / "tuned" / "chat_template.jinja"
    path.write_text("Be brief. " + path.read_text())
    assert main(words(folders)) == 2
    assert "one tokenizer and one chat template" in capsys.readouterr().err
