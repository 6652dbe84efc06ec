"""The Python of the pages on sampling, places and shared spaces runs as it stands there, on small models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from trued.data.globe import from_sphere
from trued.language.engine.tiny import tiny_model
from trued.representation.features import TextEncoder
from trued.representation.geoclip import places as geoclip_places
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.model import GeoCLIP
from trued.vision.encoder import ImageEncoder, Pictures

DOCS = Path(__file__).parents[1] / "docs"
PLACES = from_sphere(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)))
BLOCKS = {"first-hitting.md": 2, "geoclip.md": 3, "structure.md": 1}


class Tokenizer:
    """As much of a tokenizer as the page uses."""

    mask_token_id = 4
    all_special_ids = (0, 1, 2, 3, 4)


def run(page, namespace):
    """Run the page's blocks of Python in their order, in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == BLOCKS[page]
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    return namespace


@pytest.fixture
def encoders(monkeypatch):
    """A small network in place of each encoder that would be fetched."""
    net = torch.nn.Conv2d(3, 12, 8, stride=8)
    encoder = ImageEncoder(net, lambda pixels: {"head": net(pixels)}, Pictures(32, (0.5,) * 3, (0.5,) * 3))
    monkeypatch.setattr(ImageEncoder, "load", classmethod(lambda cls, *_, **__: encoder))
    lm = tiny_model()

    class Layers(TextEncoder):
        def features(self, texts, **options):
            features = super().features(texts, **options)
            return {**features.layers, "layer 6": features[features.last]}

    monkeypatch.setattr(TextEncoder, "load", classmethod(lambda cls, *_, **__: Layers(lm.base.model, lm.tokenizer)))


def test_first_hitting(capsys):
    shape = BertConfig(
        vocab_size=30, max_position_embeddings=128, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    names = run("first-hitting.md", {"my_model": BertForMaskedLM(shape), "tokenizer": Tokenizer()})
    assert capsys.readouterr().out == "128 1024 exact\n"
    assert int(names["result"].ids.min()) > 4
    assert names["texts"].law == "exact"
    assert bool((names["texts"].hit_times.diff(dim=1) < 0).all())


def test_geoclip(encoders, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    small = LocationEncoderConfig(features=8, hidden=8, depth=1, dim=8)
    monkeypatch.setattr(LocationEncoder, "released", classmethod(lambda cls: cls(small, seed=1)))
    monkeypatch.setattr(GeoCLIP, "released", classmethod(lambda cls: cls(location=LocationEncoder.released()).eval()))
    monkeypatch.setattr(geoclip_places, "released_places", lambda: PLACES)
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    names = run("geoclip.md", {"places": PLACES, "features": torch.randn(2, 768), "images": images})
    assert names["features"].shape == (12, 8, 12)
    assert GeoCLIP.load("my-model").config.features == 12


@pytest.mark.filterwarnings("ignore:a batch of", "ignore:at tau")
def test_structure(encoders):
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    names = run("structure.md", {"images": images, "texts": [f"picture {number}" for number in range(40)]})
    assert float(names["loss"].detach()) < 3  # from about 9; the loss of a guess alone is 3.7
