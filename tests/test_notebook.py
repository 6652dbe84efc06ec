"""The notebook runs from its first cell to its last, here on a random model in place of the embedded one."""

from __future__ import annotations

import json
from pathlib import Path

from trued.language.engine.model import LanguageModel

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_steps.ipynb"


def test_the_notebook_runs(tiny, monkeypatch, capsys):
    monkeypatch.setattr(LanguageModel, "load", staticmethod(lambda: tiny))
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 5
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, NOTEBOOK.name, "exec"), names)
    printed = capsys.readouterr().out
    assert "over-refusal.lookalikes" in printed
    assert printed.count("nats a token") == 2
    assert names["after"].metric("perplexity").change is not None
