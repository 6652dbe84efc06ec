"""Planted methods end to end: a good one is supported, a null one contradicted, a noisy one inconclusive."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from trued.cli.main import main
from trued.cli.run import print_result
from trued.cli.terminal import console
from trued.errors import InputError, MissingExtra, install_command
from trued.files import MARKER
from trued.lab import dependence, executor
from trued.lab.evidence import assess_all, is_stale, load
from trued.lab.executor import Interrupted, fan_out, run
from trued.lab.experiment import experiment
from trued.lab.results import rewrite
from trued.lab.rows import claim_rows
from trued.lab.runs import RunStore
from trued.papers.card import PaperFigures


@dataclass(frozen=True)
class Scale:
    items: int


SCALES = {"tiny": Scale(40), "desktop": Scale(60)}


def planted(effect, noise, *, control=None, calls=None, stop=None):
    """Return an experiment whose method adds `effect`, with `noise`, to every item."""

    @experiment("planted", scales=SCALES)
    def measure(lab):
        lab.protocol(effect=effect, noise=noise)
        for seed in lab.seeds:
            if calls is not None:
                calls.append(seed)
            rng = np.random.default_rng(seed)
            baseline = rng.normal(1.0, 0.3, lab.scale.items)
            method = baseline + effect + rng.normal(0, noise, lab.scale.items)
            lab.measure("better", seed, baseline=baseline, method=method)
            if control is not None:
                lab.control("better", seed, baseline + control)
            lab.record("mean", seed, float(method.mean()))
            if stop is not None:
                stop(seed)
        means = lab.records("mean")
        lab.figure("Means", lambda ax: ax.plot(list(means), list(means.values())), alt="One mean per seed.")
        lab.table("Means by seed", [{"seed": seed, "mean": mean} for seed, mean in means.items()])
        lab.example("What is asked", "<b>no</b>", "<script>alert(1)</script>")
        lab.note("Planted numbers show nothing about models.")

    return measure


@pytest.mark.parametrize(
    ("effect", "noise", "kind"),
    [(0.5, 0.1, "supported"), (0.0, 0.05, "contradicted"), (-0.5, 0.05, "contradicted"), (0.1, 1.0, "inconclusive")],
)
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_planted_effect_gets_the_verdict_it_deserves(plant, claim, effect, noise, kind, better):
    plant(planted(effect if better == "higher" else -effect, noise), claim(better, 0.1))
    result = run("planted", scale="desktop", progress=False)
    assert result.evidence.assessments["better"].verdict.kind == kind


@pytest.mark.parametrize(("effect", "kind"), [(0.0, "supported"), (0.5, "contradicted"), (-0.5, "contradicted")])
def test_a_planted_equality_gets_the_verdict_it_deserves(plant, claim, effect, kind):
    plant(planted(effect, 0.05), claim("equal", 0.1))
    assert run("planted", scale="tiny", progress=False).evidence.assessments["better"].verdict.kind == kind


@pytest.mark.parametrize(("control", "kind"), [(0.0, "supported"), (0.5, "inconclusive")])
def test_a_control_that_passes_takes_the_support_away(plant, claim, control, kind):
    plant(planted(0.5, 0.1, control=control), claim("higher", 0.1, control="the same without the method"))
    evidence = run("planted", scale="desktop", progress=False).evidence
    assert evidence.assessments["better"].verdict.kind == kind
    (row,) = claim_rows(evidence)
    assert ("did not pass, as it should" in row.control) == (kind == "supported")


def test_a_claim_that_was_not_measured_is_said_to_be(plant, claim):
    plant(planted(0.5, 0.1), claim(), claim(id="other", paper=PaperFigures(85.0, 5.0, "%", "Table 1")))
    evidence = run("planted", scale="desktop", progress=False).evidence
    row = claim_rows(evidence)[1]
    assert (row.verdict, row.ours, row.interval, row.paper) == ("inconclusive", "–", "", "85 → 5 %")
    assert "Nothing was measured" in row.why


def test_a_tiny_run_ran_and_gives_no_verdict(plant, claim, monkeypatch, capsys):
    plant(planted(0.5, 0.1), claim(), claim(id="other"))
    result = run("planted", scale="tiny", progress=False)
    assert result.evidence.assessments["better"].verdict.kind == "supported"  # computed all the same
    rows = claim_rows(result.evidence)
    assert [(row.verdict, row.why, row.control, row.strip) for row in rows] == [
        ("ran", "", "", None), ("not measured", "", "", None),
    ]  # fmt: skip
    page = result.report.read_text()
    assert "A tiny run shows that the experiment runs. Its numbers decide nothing." in page
    monkeypatch.setattr(executor, "run", lambda *_, **__: result)
    assert main(["run", "c-advul", "--scale", "tiny"]) == 0
    printed = capsys.readouterr().out
    assert "Its numbers decide nothing." in printed
    assert main(["run", "c-advul", "--scale", "tiny", "--json"]) == 0
    machine = capsys.readouterr().out
    assert json.loads(machine)[0]["evidence"]["assessments"] == {"better": "ran", "other": "ran"}
    for word in ("supported", "contradicted", "inconclusive"):
        assert all(word not in text for text in (page.partition("<body>")[2], printed, machine))


def test_seeds_are_named_first(plant, claim, capsys):
    plant(planted(0.5, 0.1), claim())
    run("planted", scale="tiny", seeds=2)
    assert capsys.readouterr().err.startswith("planted: seeds 0, 1\n")
    run("planted", scale="tiny", seeds=(7,))
    assert capsys.readouterr().err.startswith("planted: seed 7\n")


def test_results_that_cannot_be_written_are_in_the_store(plant, claim, monkeypatch, tmp_path):
    plant(planted(0.5, 0.1), claim())

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(executor, "write_results", full)
        with pytest.raises(OSError, match="No space") as error:
            run("planted", scale="tiny", progress=False)
    assert "trued report" in error.value.__notes__[0]
    (row,) = RunStore().runs("planted")
    assert row.status == "finished"
    assert rewrite(row.id, tmp_path / "again").report.is_file()


def test_one_seed_cannot_support(plant, claim):
    plant(planted(0.5, 0.0), claim())
    evidence = run("planted", scale="tiny", seeds=1, progress=False).evidence
    assert evidence.seeds == (0,)
    assert evidence.assessments["better"].verdict.kind == "inconclusive"


def test_a_run_that_failed_is_continued_with_the_seeds_that_are_missing(plant, claim):
    calls = []

    def stop(seed):
        if seed == 2 and len(calls) <= 3:
            raise ZeroDivisionError("planted")

    plant(planted(0.5, 0.1, calls=calls, stop=stop), claim())
    with pytest.raises(ZeroDivisionError) as error:
        run("planted", scale="tiny", progress=False)
    assert "2 of 3 seeds are finished and kept. Continue with: trued run planted --scale tiny" in error.value.__notes__
    assert not list(executor.Path("runs").glob("*"))

    evidence = run("planted", scale="tiny", progress=False).evidence
    assert calls == [0, 1, 2, 2]
    assert evidence.seeds == evidence.measurements["better"].seeds == (0, 1, 2)
    uncut = planted(0.5, 0.1)
    plant(uncut, claim())
    again = run("planted", scale="tiny", progress=False, fresh=True).evidence
    assert again.measurements == evidence.measurements
    assert again.assessments == evidence.assessments


def test_interrupting_keeps_finished_seeds_and_says_how_to_continue(plant, claim):
    calls = []

    def stop(seed):
        if seed == 1 and len(calls) == 2:
            raise KeyboardInterrupt

    plant(planted(0.5, 0.1, calls=calls, stop=stop), claim())
    with pytest.raises(Interrupted, match=r"1 of 3 seeds .* trued run planted --device cpu"):
        run("planted", device="cpu", progress=False)
    assert RunStore().runs()[0].status == "interrupted"
    run("planted", device="cpu", progress=False)
    assert calls == [0, 1, 1, 2]
    run("planted", device="cpu", progress=False)  # a finished run is not continued
    assert calls == [0, 1, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("change", ["fresh", "option", "scale", "source", "model file"])
def test_whatever_would_mix_different_runs_starts_afresh(plant, claim, change, monkeypatch, tmp_path):
    calls, broken = [], [True]

    def stop(seed):
        if seed == 1 and broken:
            raise ZeroDivisionError

    plant(planted(0.5, 0.1, calls=calls, stop=stop), claim())
    (tmp_path / "model").write_text("1")
    options = {"scale": "tiny", "model": str(tmp_path / "model"), "progress": False}
    with pytest.raises(ZeroDivisionError):
        run("planted", **options)
    broken.clear()
    if change == "source":
        monkeypatch.setattr(executor, "closure", lambda module: dependence.Closure((module,), "another"))
    if change == "model file":
        (tmp_path / "model").write_text("other")
    changed = {"fresh": {"fresh": True}, "option": {"data": "rows.jsonl"}, "scale": {"scale": "desktop"}}
    run("planted", **{**options, **changed.get(change, {})})
    assert calls == [0, 1, 0, 1, 2]


def test_the_folder_holds_report_evidence_and_figures(plant, claim):
    plant(planted(0.5, 0.1), claim())
    result = run("planted", scale="tiny", progress=False)
    assert result.folder.name.endswith("-planted-tiny")
    assert {path.name for path in result.folder.iterdir()} == {MARKER, "report.html", "evidence.json", "figures"}
    assert (result.folder / "figures" / "means.svg").read_text().startswith("<?xml")
    assert load(result.folder / "evidence.json") == result.evidence
    assert run("planted", scale="tiny", progress=False).folder != result.folder
    mine = run("planted", scale="tiny", output="mine", progress=False)
    assert mine.report.is_file()
    assert mine.report.parent.name == "mine"


def test_evidence_is_whole_and_gives_the_same_verdicts_again(plant, claim):
    plant(planted(0.5, 0.1, control=0.0), claim(control="none"), claim(id="other"))
    folder = run("planted", scale="tiny", progress=False).folder
    evidence = load(folder / "evidence.json")
    assert assess_all(evidence.claims, evidence.measurements) == evidence.assessments
    assert evidence.protocol == {"effect": 0.5, "noise": 0.1}
    assert evidence.settings == {"items": 40}
    assert evidence.figures[0].alt == "One mean per seed."
    assert evidence.tables[0]["rows"][2]["seed"] == 2
    assert evidence.versions["trued"]
    assert evidence.peak_memory > 2**20
    assert str(folder.resolve().parent) not in (folder / "evidence.json").read_text()


def test_evidence_goes_stale_with_its_source(plant, claim, tmp_path, monkeypatch):
    result = planted(0.5, 0.1)
    plant(result, claim())
    evidence = run("planted", scale="tiny", progress=False).evidence
    assert not is_stale(evidence, result.module)
    copy = tmp_path / "changed.py"
    copy.write_bytes(Path(__file__).read_bytes() + b"\nCHANGED = True\n")
    monkeypatch.setattr(dependence, "_elsewhere", lambda name: copy)
    assert is_stale(evidence, result.module)


def test_a_report_is_written_again_from_the_store(plant, claim):
    plant(planted(0.5, 0.1), claim())
    first = run("planted", scale="tiny", progress=False)
    again = rewrite(RunStore().runs()[0].id[:8], "again")
    assert again.report.read_text() == first.report.read_text()


def test_an_experiment_that_skips_its_loop_is_refused(plant, claim):
    plant(experiment("planted", scales=SCALES)(lambda lab: None), claim())
    with pytest.raises(InputError, match="without finishing seed 0"):
        run("planted", scale="tiny", progress=False)


@pytest.mark.parametrize("options", [{"seeds": 0}, {"seeds": (1, 1)}, {"scale": "huge"}])
def test_bad_options_are_found_before_anything_runs(plant, claim, options):
    calls = []
    plant(planted(0.5, 0.1, calls=calls), claim())
    with pytest.raises(InputError):
        run("planted", **{"scale": "tiny", **options})
    assert not calls


def test_the_same_run_gives_the_same_evidence(plant, claim):
    plant(planted(0.1, 1.0), claim())
    first, second = (run("planted", scale="tiny", progress=False).evidence.to_json() for _ in range(2))
    for changing in ("date", "seconds", "peak_memory"):
        del first[changing], second[changing]
    assert json.dumps(first, default=str) == json.dumps(second, default=str)


def test_fanning_out_looks_every_slug_up_first():
    with pytest.raises(InputError, match="there is no experiment 'no-such-paper'"):
        fan_out(["no-such-paper"])


def test_fanning_out_hands_errors_over_as_text(plant, claim, monkeypatch):
    def fail(slug, **options):
        raise MissingExtra("x", "y")

    monkeypatch.setattr(executor, "run", fail)
    outcome = executor._outcome("planted", {"scale": "tiny"})
    assert (outcome.result, outcome.error) == (None, f"x is not installed: {install_command('y')}")


def test_an_unknown_place_to_run_is_refused(plant, claim):
    plant(planted(0.5, 0.1), claim())
    with pytest.raises(InputError, match="cannot run on 'moon'"):
        fan_out(["planted"], on="moon")


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({"scale": "desktop", "fresh": True}, "trued run planted"),
        ({"scale": "tiny", "seeds": 3}, "trued run planted --scale tiny --seeds 3"),
        ({"seeds": (4, 7)}, "trued run planted --seeds 4,7"),
        ({"seeds": (4,)}, "trued run planted --seeds 4,"),
        ({"model": "a model", "output": "out"}, "trued run planted --model 'a model' --output out"),
    ],
)
def test_the_command_that_continues_names_every_option(options, command):
    assert executor._command("planted", **options) == command


@pytest.mark.slow
def test_real_experiments_run_in_processes_of_their_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    (outcome,) = fan_out(["c-advul"], workers=1, scale="tiny", seeds=2)
    assert outcome.error == ""
    assert outcome.result.evidence.seeds == (0, 1)
    assert outcome.result.report.is_file()


def test_where_the_model_comes_from_is_printed_and_reported_and_is_no_evidence(plant, claim, capsys):
    facts = {"model": "mine", "folder": "/somewhere/mine", "weights, SHA-256": "0123abcd", "origin": "a wheel"}

    @experiment("planted", scales=SCALES)
    def measure(lab):
        lab.model_name, lab.model_facts = "mine", facts
        for seed in lab.seeds:
            lab.measure("better", seed, baseline=[0.0, 0.1], method=[1.0, 1.1])

    plant(measure, claim())
    result = run("planted", scale="tiny", seeds=2, store=(store := RunStore()), output="out")
    page = result.report.read_text().replace("<wbr>", "")
    assert [value for value in facts.values() if value not in page] == []
    assert "/somewhere" not in (result.folder / "evidence.json").read_text()
    print_result(console(), result)
    printed = capsys.readouterr().out
    assert "folder: /somewhere/mine" in printed
    assert "weights, SHA-256: 0123abcd" in printed
    (row,) = store.runs("planted")
    assert rewrite(row.id, "again", store=store).model == facts
