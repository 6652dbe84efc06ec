"""Evidence survives its file, refuses a broken one, and knows which source it depends on."""

import json
from dataclasses import replace

import pytest

from trued.errors import InputError
from trued.lab.dependence import closure
from trued.lab.evidence import (
    Confirmation,
    Evidence,
    FigureNote,
    Measurement,
    assess_all,
    collect,
    is_stale,
    load,
)
from trued.lab.measurement import SeedData
from trued.papers.card import PaperFigures


@pytest.fixture
def evidence(claim):
    claims = (
        claim(control="c", paper=PaperFigures(85.0, 5.0, "%", "Table 1")),
        claim("lower", 2.0, ratio=True, id="cheap"),
    )
    measurements = {
        "better": Measurement((0, 1), ((0.1, 0.2), (0.1, 0.3)), ((0.9, 0.8), (1.0, 1.2)), ((0.1, 0.2), (0.1, 0.4))),
        "cheap": Measurement((0, 1), ((100.0,), (100.0,)), ((10.0,), (11.0,)), timed=True),
    }
    return Evidence(
        slug="planted", title="A <Paper>", arxiv=None, date="2024-05-24T10:00:00+00:00", scale="tiny",
        settings={"items": 2}, model="m", seeds=(0, 1), protocol={"eps": [0, 0.5]}, claims=claims,
        measurements=measurements, assessments=assess_all(claims, measurements),
        figures=(FigureNote("f", "what it shows"),),
        tables=({"kind": "table", "name": "t", "rows": [{"a": 1}], "caption": ""},), notes=("small",),
        versions={"python": "3"}, platform={"cpus": 2}, seconds=1.5, peak_memory=5, modules=("json",),
        method_digest=closure("json").digest, tiny={"better": measurements["better"]},
        confirmed=(Confirmation("1" * 64, "2024-05-25T10:00:00+00:00"),),
    )  # fmt: skip


def test_evidence_survives_its_file(evidence, tmp_path):
    path = evidence.write(tmp_path / "evidence.json")
    assert load(path) == evidence
    assert load(path).write(tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert "[0.1, 0.2]" in path.read_text()


def test_evidence_is_stale_unless_its_code_was_measured_or_confirmed(evidence):
    assert not is_stale(evidence, "json")
    assert is_stale(evidence, "ast")
    assert is_stale(evidence, "no_such_module")
    assert is_stale(evidence)  # there is no experiment of its name
    confirmed = (*evidence.confirmed, Confirmation(closure("ast").digest, "2024-05-26T10:00:00+00:00"))
    assert not is_stale(replace(evidence, confirmed=confirmed), "ast")


def test_evidence_of_the_first_schema_is_read(evidence, tmp_path):
    data = json.loads(evidence.write(tmp_path / "evidence.json").read_text())
    del data["tiny"], data["confirmed"]
    assert [key for key, row in data["measurements"].items() if row.pop("timed", False)] == ["cheap"]
    (tmp_path / "old.json").write_text(json.dumps({**data, "schema": 1}))
    old = load(tmp_path / "old.json")
    assert (old.tiny, old.confirmed) == ({}, ())
    assert not old.measurements["cheap"].timed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema=99), "schema 99"),
        (lambda d: d.pop("claims"), "'claims' is missing"),
        (lambda d: d.pop("title"), "'title' is missing"),
        (lambda d: d["assessments"].pop("cheap"), "name different claims"),
        (lambda d: d["measurements"]["better"]["method"].pop(), "'measurements' does not fit"),
        (lambda d: d["measurements"]["better"]["method"][0].pop(), "'measurements' does not fit"),
        (lambda d: d["assessments"]["better"]["verdict"].update(kind="proved"), "'assessments' does not fit"),
        (lambda d: d.update(seconds="long"), "'seconds' does not fit"),
        (lambda d: d.update(settings=3), "'settings' does not fit"),
        (lambda d: d["tiny"]["better"]["method"].pop(), "'tiny' does not fit"),
        (lambda d: d.update(confirmed=["1"]), "'confirmed' does not fit"),
    ],
)
def test_broken_evidence_is_refused_with_file_and_field(evidence, tmp_path, change, words):
    path = evidence.write(tmp_path / "evidence.json")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"evidence\.json") as error:
        load(path)
    assert words in str(error.value)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_what_is_no_evidence_is_refused(tmp_path, text):
    path = tmp_path / "e.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"e\.json"):
        load(path)


def test_measurements_follow_the_order_of_the_seeds(claim):
    def seed(value):
        return SeedData({"better": {"baseline": [0.0], "method": [value]}})

    result = collect([claim(), claim(id="other")], {0: seed(0.0), 2: seed(2.0), 1: SeedData()}, (2, 1, 0))
    assert result == {"better": Measurement((2, 0), ((0.0,), (0.0,)), ((2.0,), (0.0,)))}
