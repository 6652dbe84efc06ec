import json
import os
import shutil
from pathlib import Path

import pytest

import trued
from trued.lab.evidence import load
from trued.lab.measured import CommittedEvidence
from trued.lab.rows import claim_rows

COMMITTED = Path(trued.__file__).parents[2] / "docs" / "evidence"


@pytest.fixture
def folder(tmp_path):
    """A folder with the committed evidence of one paper."""
    shutil.copytree(COMMITTED / "c-advul", tmp_path / "c-advul")
    shutil.copy(COMMITTED / "c-advul.json", tmp_path)
    return tmp_path


def test_it_shows_what_is_committed(folder):
    result = CommittedEvidence(folder).get("c-advul")
    evidence = load(folder / "c-advul.json")
    assert result is not None
    assert list(result.rows) == claim_rows(evidence)
    assert sum(result.tally.values()) == len(evidence.claims)
    assert set(result.tally) == {row.verdict for row in result.rows}
    assert result.day.isoformat() == evidence.date[:10]
    assert [drawing.name for drawing in result.drawings] == [figure.name for figure in evidence.figures]
    assert all(drawing.svg.lstrip().startswith("<?xml") for drawing in result.drawings)


def test_it_is_read_again_when_it_changes_and_not_before(folder, monkeypatch):
    reads = []
    monkeypatch.setattr("trued.lab.committed.load", lambda path: reads.append(path) or load(path))
    shelf, path = CommittedEvidence(folder), folder / "c-advul.json"
    first = shelf.get("c-advul")
    assert shelf.get("c-advul") is first
    data = json.loads(path.read_text())
    data["scale"] = "full"
    path.write_text(json.dumps(data))
    os.utime(path, (1, 1))
    assert shelf.get("c-advul").evidence.scale == "full"
    assert len(reads) == 2
    path.unlink()
    assert shelf.get("c-advul") is None


def test_a_method_that_has_changed_since_makes_it_stale(folder):
    path = folder / "c-advul.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "method_digest": "0" * 64, "confirmed": []}))
    assert CommittedEvidence(folder).get("c-advul").stale


def test_a_broken_file_is_logged_and_shown_as_nothing(folder, caplog):
    (folder / "c-advul.json").write_text("{")
    assert CommittedEvidence(folder).get("c-advul") is None
    assert "not JSON" in caplog.text


@pytest.mark.parametrize("slug", [None, "", "../c-advul", "c-advul.json", "mixat/..", "unheard-of"])
def test_no_slug_leads_out_of_the_folder(folder, slug):
    assert CommittedEvidence(folder).get(slug) is None


def test_the_store_filters_by_its_verdicts(folder):
    shelf = CommittedEvidence(folder)
    assert shelf.verdicts() == {"c-advul": set(shelf.get("c-advul").tally)}
    assert CommittedEvidence(folder / "nowhere").verdicts() == {}


def test_without_a_folder_it_shows_what_is_committed(monkeypatch, tmp_path):
    monkeypatch.delenv("TRUED_EVIDENCE", raising=False)
    assert CommittedEvidence().folder == COMMITTED
    monkeypatch.setenv("TRUED_EVIDENCE", str(tmp_path))
    assert CommittedEvidence().folder == tmp_path
