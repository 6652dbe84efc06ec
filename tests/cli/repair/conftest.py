"""Two tiny models, one made from the other, and the files that a repair is given."""

import json

import pytest
import torch

from trued.cli.repair import job
from trued.language.engine.tiny import tiny_model
from trued.language.measure.check.safety import CheckConfig

FEW = CheckConfig.quick(
    attacks=("direct",), harmful=2, lookalikes=2, general=2, attacked=2, max_new_tokens=1, multiples=(0.0,), steps=1
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An aligned and a fine-tuned tiny model, and the files that a repair is given."""
    monkeypatch.setattr(job, "check_config", lambda *, quick: FEW)
    monkeypatch.setattr(job, "answered", lambda lm, questions: 0.5)
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
