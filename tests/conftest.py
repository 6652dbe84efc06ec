"""Fixtures that all tests share. The tests run with runtime shape checks on."""

import os
import signal

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# A background job of a script ignores Ctrl-C, and its children do; the tests send one and expect to see it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A tree is green or red for everybody alike, and a busy machine is no failure. New examples are looked for by
# `pytest --hypothesis-profile searching`.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None)
settings.load_profile("repeatable")

SHAPED = (
    "attack.embedding",
    "attack.soft_suffix",
    "engine.generation",
    "measure.geometry",
    "engine.model",
    "engine.scoring",
    "repair.alignment_recovery.recover",
    "repair.alignment_recovery.representation",
    "repair.alignment_recovery.selection",
    "train.adversarial",
    "train.c_advul.align",
    "train.c_advul.loss",
    "train.fine_tune",
)
install_import_hook([f"trued.language.{room}" for room in SHAPED], "typechecks.check")


@pytest.fixture
def tiny():
    """A fresh random two-layer chat model in float32."""
    from trued.language.engine.tiny import tiny_model

    return tiny_model()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine in place of Hugging Face's, with an empty cache."""
    from huggingface_hub import constants
    from local_hub import LocalHub

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TRUED_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with LocalHub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        yield hub


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch, request):
    """Keep tests out of the user's cache and data, except the slow ones, which need the real model that lies there."""
    if "slow" not in request.keywords:
        monkeypatch.setenv("TRUED_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        monkeypatch.setenv("TRUED_DATA", str(tmp_path_factory.getbasetemp() / "data"))
