"""Which encoders the experiment on STRUCTURE runs over what."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trued.errors import InputError
from trued.experiments.structure import SCALES, data
from trued.experiments.structure.data import load


def bench(scale, pairs):
    """A lab that notes what is computed, and computes nothing."""
    calls = []

    def cached(name, compute, *arguments):
        calls.append(arguments)
        return {"layer 0": torch.ones(3, 2)}

    lab = SimpleNamespace(scale=SCALES[scale], scale_name=scale, data=pairs, device=None, cached=cached, model_name="")
    return lab, calls


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "wheel.png").write_bytes(b"a picture")
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"image": "wheel.png", "text": "a wheel"}) + "\n")
    return str(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("edited", ["wheel.png", "pairs.jsonl"])
def test_an_edited_picture_or_table_of_the_same_name_is_read_anew(edited, pairs):
    def keys():
        lab, calls = bench("desktop", pairs)
        load(lab)
        return calls

    before = keys()
    assert keys() == before
    path = Path(pairs).with_name(edited)
    path.write_bytes(path.read_bytes() + b"\n")
    assert all(old != new for old, new in zip(before, keys(), strict=True))


@pytest.mark.parametrize("scale", ["tiny", "desktop", "full"])
def test_a_users_pairs_are_given_to_encoders_and_not_read_as_files_of_embeddings(scale, pairs):
    lab, calls = bench(scale, pairs)
    sizes = SCALES[scale]
    assert list(load(lab)) == ["image", "text"]
    assert [arguments[:4] for arguments in calls] == [
        (f"image:{sizes.image}", pairs, sizes.pixels, "cpu"),
        (f"text:{sizes.text}", pairs, None, "cpu"),
    ]
    assert lab.model_name == f"{sizes.image} and {sizes.text}"


def test_at_desktop_scale_they_are_emoji_with_a_language_model_besides(monkeypatch):
    monkeypatch.setattr(data, "embedded_model", lambda name: SimpleNamespace(name=f"the model {name}"))
    lab, calls = bench("desktop", None)
    assert list(load(lab)) == ["image", "text", "language model"]
    assert [arguments[:3] for arguments in calls] == [
        ("image:efficientnet-lite0", "emoji", 160), ("text:minilm", "emoji", None), ("text:smollm2", "emoji", None),
    ]  # fmt: skip
    assert lab.model_name == "EfficientNet-Lite0, all-MiniLM-L6-v2 and the model smollm2"


def test_at_full_scale_there_is_nothing_to_run_on_without_pairs():
    with pytest.raises(InputError, match="give --data"):
        load(bench("full", None)[0])
