"""`trued represent structure`: heads and measures from two folders of embeddings; what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from trued.cli.main import main
from trued.representation.space import SharedSpace
from trued.representation.structure.layers import LayerFeatures

pytestmark = pytest.mark.filterwarnings("ignore")


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def sides(tmp_path):
    things, order = rows(160, 5), torch.randperm(160, generator=torch.Generator().manual_seed(9))
    names = [f"thing {i}" for i in range(160)]
    LayerFeatures({"early": rows(160, 8, 1), "late": things @ rows(5, 8, 2)}, tuple(names)).save(
        tmp_path / "a.safetensors"
    )
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b" / "layer 1.npy", (things @ rows(5, 7, 3))[order].numpy())
    np.save(tmp_path / "b" / "layer 2.npy", rows(160, 7, 4)[order].numpy())
    (tmp_path / "b" / "keys.txt").write_text("\n".join(names[i] for i in order))
    return str(tmp_path / "a.safetensors"), str(tmp_path / "b")


def test_layers_are_chosen_heads_trained_and_all_ways_compared(sides, tmp_path, capsys):
    out = tmp_path / "space"
    words = ["represent", "structure", *sides, "-o", str(out), "--compare", "--json", "--dim", "8", "--lam", "3",
             "--tau", "0.2", "--fit.steps", "40", "--fit.lr", "0.01"]  # fmt: skip
    assert main(words) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert [arm["name"] for arm in arms] == [
        "chosen layers, STRUCTURE", "chosen layers", "last layers, STRUCTURE", "last layers",
    ]  # fmt: skip
    assert arms[0]["layers"] == ["late", "layer 1"]
    assert arms[0]["recall_at_5"] > 0.8
    assert arms[-1]["layers"] == ["late", "layer 2"]
    assert arms[-1]["recall_at_5"] < 0.5
    record = json.loads((out / "structure.json").read_text())
    assert record["settings"]["lam"] == 3
    assert np.argmax(record["similarity"]) == 2
    space = SharedSpace.from_pretrained(out)
    assert space.config["layers"] == {"first": "late", "second": "layer 1"}
    assert space.transform(rows(3, 8), "first").shape == (3, 8)
    assert main(words) == 2
    assert "already contains a space" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--layers", "last", "--test", "0.05"], "8 to measure on"),
        (["--test", "0.9", "--validation", "0.2"], "together below 1"),
        (["--lam", "-1"], "lam -1"),
        (["--fit.steps", "0"], "steps is 0"),
        (["--fit.steps", "2.7"], "'2.7' is not a whole number"),
        (["--fit.seed", "99999999999999999999"], "seed is 99999999999999999999"),
        (["--device", "banana"], "device 'banana' is not on this machine"),
    ],
)
def test_bad_settings_are_one_sentence(sides, tmp_path, capsys, change, sentence):
    assert main(["represent", "structure", *sides, "-o", str(tmp_path / "out"), *change]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_sources_are_one_sentence(sides, tmp_path, capsys):
    assert main(["represent", "structure", sides[0], "text:minilm", "-o", str(tmp_path / "out")]) == 2
    assert "give a table" in capsys.readouterr().err
    assert main(["represent", "structure", sides[0], str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 2
    assert "no such file" in capsys.readouterr().err
