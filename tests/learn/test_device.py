"""The device opener: what is there, and one sentence for what is not."""

from __future__ import annotations

import pytest
import torch

from trued.errors import InputError
from trued.language.engine.embedder import SentenceEmbedder
from trued.language.engine.model import LanguageModel
from trued.learn.device import devices, open_device


def test_the_cpu_is_always_there():
    assert open_device("cpu") == torch.device("cpu")
    assert open_device(torch.device("cpu")) == torch.device("cpu")
    assert "cpu" in devices()


@pytest.mark.parametrize("name", ["banana", "gpu", "", "cuda:99", "cpu:1", "meta", "cuda:-1", "cuda:x"])
def test_what_is_not_there_is_one_sentence(name):
    with pytest.raises(InputError, match=f"^device '{name}' is not on this machine.*: give cpu"):
        open_device(name)


def test_gpus_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert open_device() == torch.device("cpu")
    with pytest.raises(InputError, match="device 'cuda' is not on this machine"):
        open_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert open_device() == torch.device("cuda")
    assert open_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="give cpu or cuda or cuda:0 or cuda:1"):
        open_device("cuda:2")


def test_models_ask_before_they_are_loaded(tmp_path):
    for name in ("banana", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{name}' is not on this machine"):
            LanguageModel.load(tmp_path, device=name)
        with pytest.raises(InputError, match=f"device '{name}' is not on this machine"):
            SentenceEmbedder.load(device=name)
