"""The README's tables are those that the cards and the committed evidence give; none is typed in."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from trued.papers import catalogue

ROOT = Path(__file__).parents[1]


def loaded(file: Path) -> Any:
    """Import a script that is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    return loaded(ROOT / "docs" / "build_pages.py")


def tables(pages):
    """The committed pages with a table, each with the table's name and what it should be."""
    evidence = pages.committed_evidence()
    return [
        (ROOT / "README.md", "papers", pages.papers_table(evidence)),
        (ROOT / "docs" / "attacks.md", "suite", pages.suite_table(pages.committed_suite())),
    ]


def test_the_tables_are_current(pages):
    for file, name, table in tables(pages):
        text = file.read_text(encoding="utf-8")
        assert pages.with_table(text, name, table) == text, f"run `make docs` and commit {file.name}"


def test_a_row_that_was_edited_by_hand_would_be_noticed(pages):
    file, name, table = tables(pages)[0]
    text = file.read_text(encoding="utf-8")
    edited = text.replace("| `c-advul` ", "| `c-advul` (supported) ")
    assert edited != text
    assert pages.with_table(edited, name, table) != edited


def test_the_benchmarks_tables_are_those_of_their_results():
    module = loaded(ROOT / "benchmarks" / "table.py")
    results = module.read_results(ROOT / "benchmarks" / "results")
    for file, lines in ((module.README, module.short_table(results)), (module.ALL, module.table(results))):
        text = file.read_text(encoding="utf-8")
        assert module.with_table(text, lines, file) == text, f"run benchmarks/table.py and commit {file.name}"
    assert len(module.short_table(results)) == 2 + len(module.SHOWN)


def test_a_page_without_markers_is_refused(pages):
    with pytest.raises(ValueError, match="suite:begin"):
        pages.with_table("# trued", "suite", "")


def test_the_suite_has_a_row_an_attack_and_a_column_a_model(pages):
    def attack(name, asr, low, high, lower_bound=False):
        return {"attack": name, "asr": asr, "low": low, "high": high, "lower_bound": lower_bound}

    def harmless(lookalikes, general):
        kinds = {"over-refusal.lookalikes": lookalikes, "over-refusal.general": general}
        metrics = [
            {"id": kind, "value": v, "low": 0.0, "high": 0.5, "lower_bound": False, "n": 4} for kind, v in kinds.items()
        ]
        return {"judge": "phrases alone", "metrics": metrics}

    assert "docs/suite/run.sh" in pages.suite_table(None)
    table = pages.suite_table(
        {
            "models": [
                {"model": "base", "attacks": [attack("gcg", 0.5, 0.25, 0.75), attack("direct", 0.1, 0.0, 0.3, True)]},
                {"model": "mended", "attacks": [attack("gcg", 0.0, 0.0, 0.2)]},
            ],
            "protocol": {"behaviors": {"count": 8}, "decoding": "greedy, 4 tokens", "judge": "phrase", "seed": 3},
            "calibration": {"accuracy": 0.9, "replies": 10},
            "useful": {"base": harmless(0.25, 0.0), "mended": harmless(0.5, 0.25)},
        }
    )
    assert "| attack | base | mended |" in table
    assert "| gcg | 50 % [25, 75] | 0 % [0, 20] |" in table
    assert "| direct | ≥ 10 % [0, 30] | – |" in table
    assert "looks harmful*: refused | 25 % [0, 50] | 50 % [0, 50] |" in table
    assert "90% of 10 labelled replies, and for harmless requests phrases alone; seed 3" in table
    assert "4 and 4 harmless requests" in table


def test_every_paper_has_a_page_and_a_row_if_it_runs(pages, tmp_path):
    evidence = pages.committed_evidence()
    table = pages.papers_table(evidence)
    pages.write_pages(tmp_path / "papers", evidence)
    index = (tmp_path / "papers" / "index.md").read_text()
    for slug, card in catalogue.cards().items():
        assert (f"| `{slug}` " in table) == (catalogue.state(slug) == "runs")
        assert f"({slug}.md)" in index
        page = (tmp_path / "papers" / f"{slug}.md").read_text()
        assert all(claim.says in page for claim in card.claims)


def test_evidence_is_of_the_paper_that_its_file_names(pages):
    assert all(found.slug == slug for slug, found in pages.committed_evidence().items())


def test_the_python_snippet_runs(tiny, monkeypatch, capsys):
    from trued.language.engine.model import LanguageModel

    monkeypatch.setattr(LanguageModel, "load", staticmethod(lambda: tiny))
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    assert "'perplexity'" in capsys.readouterr().out
