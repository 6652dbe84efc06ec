"""Committed evidence is read in one place, and holds only while its code or its tiny run's numbers are the same."""

import json
from dataclasses import dataclass, replace

import pytest

from trued.errors import InputError
from trued.lab import committed, executor
from trued.lab.committed import confirm, differences
from trued.lab.evidence import Evidence, FigureNote, Measurement, assess_all, is_stale, load
from trued.lab.experiment import experiment
from trued.lab.results import Result
from trued.papers.card import PaperFigures

TINY = {"better": Measurement((0, 1), ((1.0, 2.0), (3.0, 4.0)), ((5.0, 6.0), (7.0, 8.0)), ((0.0, 0.0), (1.0, 1.0)))}
METHOD = {"gain": 1.0}


@dataclass(frozen=True)
class Scale:
    items: int


@experiment("planted", scales={"tiny": Scale(4)}, seeds=(0, 1, 2))
def planted(lab):
    for seed in lab.seeds:
        baseline = [float(item + seed) for item in range(lab.scale.items)]
        lab.measure("better", seed, baseline=baseline, method=[METHOD["gain"] + value for value in baseline])
        lab.measure("faster", seed, baseline=2.0, method=1.0, timed=True)


@pytest.fixture
def folder(plant, claim, card, tmp_path, monkeypatch):
    """A folder with evidence of the planted experiment, as a run leaves it."""
    plant(planted, claim(), claim("lower", id="faster"))
    monkeypatch.setattr(committed, "module_of", lambda slug: planted.module)
    monkeypatch.setattr(committed, "card", lambda slug: card(claim(), claim("lower", id="faster")))
    monkeypatch.setitem(METHOD, "gain", 1.0)
    result = executor.run("planted", scale="tiny", progress=False)
    committed.keep(result, tmp_path / "evidence")
    return tmp_path / "evidence"


def with_digest(folder, digest="0" * 64):
    """Rewrite the evidence as if it had been measured with other code."""
    path = folder / "planted.json"
    replace(load(path), method_digest=digest).write(path)


def test_a_run_keeps_the_numbers_of_its_tiny_run_but_no_times(folder):
    evidence = committed.read("planted", folder)
    assert evidence.measurements["faster"].timed
    assert not evidence.measurements["better"].timed
    assert evidence.tiny == {
        "better": Measurement(
            (0, 1), ((0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0)), ((1.0, 2.0, 3.0, 4.0), (2.0, 3.0, 4.0, 5.0))
        )
    }


CALLS = []


def measured_once(seed):
    CALLS.append(seed)
    return 1.0


def test_a_tiny_run_leaves_nothing_behind_and_uses_nothing_that_was_computed_before(plant, claim, tmp_path):
    @experiment("planted", scales={"tiny": Scale(4)})
    def caching(lab):
        for seed in lab.seeds:
            lab.measure("better", seed, baseline=0.0, method=lab.cached("one", measured_once, 0))

    plant(caching, claim())
    CALLS.clear()
    for _ in range(2):
        executor.tiny_numbers("planted")
    assert CALLS == [0, 0]
    assert not list(tmp_path.iterdir())


def test_unchanged_code_is_fresh_and_nothing_runs(folder, monkeypatch):
    monkeypatch.setattr(executor, "tiny_numbers", lambda *_, **__: pytest.fail("it ran"))
    assert confirm("planted", folder).fresh


def test_changed_code_that_gives_the_same_numbers_is_confirmed_with_its_date(folder, monkeypatch):
    with_digest(folder)
    assert is_stale(committed.read("planted", folder), planted.module)
    decision = confirm("planted", folder)
    assert decision.fresh
    evidence = committed.read("planted", folder)
    assert not is_stale(evidence, planted.module)
    assert evidence.method_digest == "0" * 64
    assert len(evidence.confirmed) == 1
    assert evidence.confirmed[0].date[:2] == "20"
    monkeypatch.setattr(executor, "tiny_numbers", lambda *_, **__: pytest.fail("it ran again"))
    assert "confirmed on" in confirm("planted", folder).why


@pytest.mark.parametrize(("gain", "fresh"), [(1.00001, True), (1.001, False)])
def test_changed_numbers_leave_it_stale_and_are_named(folder, monkeypatch, gain, fresh):
    with_digest(folder)
    before = (folder / "planted.json").read_bytes()
    monkeypatch.setitem(METHOD, "gain", gain)
    decision = confirm("planted", folder)
    assert decision.fresh is fresh
    assert ((folder / "planted.json").read_bytes() == before) is not fresh
    assert is_stale(committed.read("planted", folder), planted.module) is not fresh
    assert [line[:22] for line in decision.differences] == (
        [] if fresh else [f"better, method, seed {n}" for n in "01"]
    )


def test_fresh_evidence_takes_over_the_papers_figures_and_nothing_else_of_the_card(folder, monkeypatch, card, claim):
    measured = committed.read("planted", folder)
    assert measured.claim("better").paper.baseline is None
    figures = PaperFigures(baseline=81.0, method=78.2, unit="%", where="Table 2")
    changed = replace(claim(), paper=figures, margin=replace(claim().margin, value=0.9))
    monkeypatch.setattr(committed, "card", lambda slug: card(changed, claim("lower", id="faster")))
    assert confirm("planted", folder).fresh
    evidence = committed.read("planted", folder)
    assert evidence.claim("better").paper == figures
    assert evidence.claim("better").margin == measured.claim("better").margin
    assert evidence.measurements == measured.measurements


def test_evidence_without_tiny_numbers_cannot_be_confirmed(folder):
    with_digest(folder)
    path = folder / "planted.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**{k: v for k, v in data.items() if k not in ("tiny", "confirmed")}, "schema": 1}))
    decision = confirm("planted", folder)
    assert not decision.fresh
    assert "run it again" in decision.why


def test_code_that_was_changed_during_the_run_leaves_no_numbers_to_confirm(folder, caplog, tmp_path):
    evidence = replace(committed.read("planted", folder), method_digest="1" * 64)
    committed.keep(Result(evidence, tmp_path / "report.html", tmp_path), folder)
    assert committed.read("planted", folder).tiny == {}
    assert "changed while it ran" in caplog.text


def changed(arm="method", **fields):
    """TINY with one number, or whole fields, replaced."""
    row = TINY["better"]
    if not fields:
        values = getattr(row, arm)
        fields = {arm: (values[0], (values[1][0], values[1][1] + 0.01))}
    return {"better": replace(row, **fields)}


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (TINY, None),
        (changed(), "better, method, seed 1: 1 of 2 values differ, such as 8 before and 8.01 now"),
        (changed("control"), "better, control, seed 1: 1 of 2 values differ, such as 1 before and 1.01 now"),
        (changed(control=None), "better, control: measured only before"),
        (changed(seeds=(0, 2)), "better: seeds (0, 1) before, (0, 2) now"),
        (changed(baseline=((1.0,), (3.0, 4.0))), "better, baseline, seed 0: 2 values before, 1 now"),
        ({**TINY, "other": TINY["better"]}, "other: measured only now"),
    ],
)
def test_where_two_tiny_runs_differ(now, line):
    assert differences(TINY, now) == ((line,) if line else ())


def test_numbers_are_compared_absolutely_and_in_proportion():
    def row(value):
        return {"c": Measurement((0,), ((value,),), ((value,),))}

    for value in (0.0, 1.0, 1e4):
        assert not differences(row(value), row(value + 0.9e-4 * (1 + value)))
        assert differences(row(value), row(value + 1.1e-4 * (1 + value)))


def test_evidence_must_be_of_the_paper_that_its_file_names(folder):
    (folder / "other.json").write_bytes((folder / "planted.json").read_bytes())
    with pytest.raises(InputError, match=r"other\.json is evidence of planted"):
        committed.read_all(folder)


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert committed.read_all(tmp_path / "nowhere") == {}


def test_figures_are_those_that_lie_beside_the_evidence(claim, tmp_path):
    notes = (FigureNote("A figure", "it"), FigureNote("Another", "it"))
    evidence = Evidence(
        slug="planted", title="", arxiv=None, date="", scale="tiny", settings={}, model="", seeds=(), protocol={},
        claims=(claim(),), measurements={}, assessments=assess_all([claim()], {}), figures=notes, tables=(), notes=(),
        versions={}, platform={}, seconds=0.0, peak_memory=0, modules=(), method_digest="",
    )  # fmt: skip
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "a-figure.svg").write_text("<svg/>")
    assert committed.figures(evidence, tmp_path) == [(notes[0], tmp_path / "planted" / "a-figure.svg")]


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.delenv("TRUED_EVIDENCE", raising=False)
    assert committed.evidence_folder().parts[-2:] == ("docs", "evidence")
    monkeypatch.setenv("TRUED_EVIDENCE", str(tmp_path))
    assert committed.path_of("c-advul") == tmp_path / "c-advul.json"
