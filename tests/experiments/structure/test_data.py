"""Which encoders the experiment on STRUCTURE runs over what."""

from __future__ import annotations

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


@pytest.mark.parametrize("scale", ["tiny", "desktop", "full"])
def test_a_users_pairs_are_given_to_encoders_and_not_read_as_files_of_embeddings(scale):
    lab, calls = bench(scale, "pairs.jsonl")
    sizes = SCALES[scale]
    assert list(load(lab)) == ["image", "text"]
    assert calls == [
        (f"image:{sizes.image}", "pairs.jsonl", sizes.pixels, "cpu"),
        (f"text:{sizes.text}", "pairs.jsonl", None, "cpu"),
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
