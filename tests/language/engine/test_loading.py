"""Loading: paths, hub ids, revisions and adapters, each through PEFT and with its origin."""

import json
import re
from pathlib import Path

import pytest
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model

from trued.errors import InputError
from trued.language.engine import embedded
from trued.language.engine.card import AdapterCard
from trued.language.engine.model import LanguageModel
from trued.language.engine.sources import SOURCES
from trued.language.engine.tiny import tiny_model

QUESTION, ANSWER = ["hi"], [["yes, of course"]]


def score(lm):
    return lm.logprobs(QUESTION, ANSWER)[0][0]


def write_base(folder: Path) -> Path:
    tiny = tiny_model()
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    return folder


def tuned_on(source, **options) -> LanguageModel:
    lm = LanguageModel.load(source, dtype=torch.float32, **options).with_lora(r=2, alpha=4, seed=3)
    for parameter in lm.model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1)
    return lm


@pytest.fixture
def base(tmp_path):
    return write_base(tmp_path / "base")


# -- paths and hub ids -------------------------------------------------------------------------------------------------


def test_a_mistyped_path_says_so_and_asks_no_hub(hub):
    with pytest.raises(InputError, match=r"^\./nope: no such folder; give the folder of a model"):
        LanguageModel.load("./nope")
    with pytest.raises(InputError, match=r"^nope\.json: no such file"):
        LanguageModel.load("nope.json")
    with pytest.raises(InputError, match=r"^\./nope: no such folder"):
        LanguageModel.load(None if False else "./nope", adapter="./other")
    assert hub.requests == []


def test_a_model_of_the_hub_by_branch_and_commit(hub, base):
    commit = hub.add("org/model", base)
    expected = score(LanguageModel.load(base, dtype=torch.float32))
    for source, revision in (("org/model", None), ("org/model@v1", None), ("org/model", commit)):
        lm = LanguageModel.load(source, dtype=torch.float32, revision=revision)
        assert (lm.name, lm.origin.hub, lm.origin.revision) == (source, "org/model", commit)
        assert lm.model.name_or_path == "org/model"
        torch.testing.assert_close(score(lm), expected)
    assert lm.title == "model"


@pytest.mark.parametrize("variable", ["TRUED_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_the_cache_serves_and_what_it_lacks_is_named(variable, hub, base, monkeypatch):
    hub.add("org/model", base)
    hub.add("org/half", write_base(base.parent / "half"))
    expected = score(LanguageModel.load("org/model", dtype=torch.float32))
    LanguageModel.load("org/half")
    cached = next((base.parent / "hub-cache").glob("models--org--half/snapshots/*/model.safetensors"))
    cached.unlink()
    hub.requests.clear()
    monkeypatch.setenv(variable, "1")
    torch.testing.assert_close(score(LanguageModel.load("org/model", dtype=torch.float32)), expected)
    with pytest.raises(InputError, match=rf"org/half: model\.safetensors is missing in the hub's cache .*{variable}=1"):
        LanguageModel.load("org/half")
    with pytest.raises(InputError, match=rf"org/new: config\.json is missing in the hub's cache .*{variable}=1"):
        LanguageModel.load("org/new")
    assert hub.requests == []


# -- adapters ----------------------------------------------------------------------------------------------------------


def test_an_adapter_of_the_hub_is_wrapped_and_can_be_switched_off(hub, base, tmp_path):
    commit = hub.add("org/model", base)
    tuned = tuned_on("org/model")
    hub.add("me/adapter", tuned.save_adapter(tmp_path / "adapter"))
    plain = score(LanguageModel.load("org/model", dtype=torch.float32))
    assert not torch.allclose(score(tuned), plain)
    for lm in (
        LanguageModel.load("me/adapter", dtype=torch.float32),
        LanguageModel.load("me/adapter@v1", dtype=torch.float32),
        LanguageModel.load("org/model", adapter="me/adapter", adapter_revision="v1", dtype=torch.float32),
        LanguageModel.load(tmp_path / "adapter", dtype=torch.float32),
    ):
        assert isinstance(lm.model, PeftModel)
        assert (lm.origin.hub, lm.origin.revision) == ("org/model", commit)
        torch.testing.assert_close(score(lm), score(tuned))
        with lm.adapter(enabled=False):
            torch.testing.assert_close(score(lm), plain)


def test_the_base_is_read_at_the_revision_that_the_adapter_names(hub, base, tmp_path):
    hub.add("org/model", base)
    folder = tuned_on("org/model").save_adapter(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"revision": "v9"}))
    with pytest.raises(InputError, match=r"the base model of the adapter .*: org/model has no revision v9"):
        LanguageModel.load(folder)


def test_an_adapter_beside_its_bases_config_is_an_adapter(base, tmp_path):
    tuned = tuned_on(base)
    folder = tuned.save_adapter(tmp_path / "adapter")
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())
    lm = LanguageModel.load(folder, dtype=torch.float32)
    assert isinstance(lm.model, PeftModel)
    torch.testing.assert_close(score(lm), score(tuned))


def test_a_folder_that_is_a_model_and_an_adapter_is_refused(base, tmp_path):
    folder = tuned_on(base).save_adapter(tmp_path / "adapter")
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for options in ({}, {"adapter": folder}):
        with pytest.raises(InputError, match="holds both a model and an adapter"):
            LanguageModel.load(folder, **options)


def test_switching_off_what_is_not_there_raises(tiny):
    with pytest.raises(InputError, match="no adapter to switch off"), tiny.adapter(enabled=False):
        pass
    with pytest.raises(InputError, match="no adapter to switch off"), tiny.deployed(adapter=False):
        pass
    with tiny.adapter(enabled=True):
        pass
    assert not tiny.has_adapter


def test_an_adapter_without_pefts_wrapper_is_switched_off_too(base, tmp_path):
    """As transformers injects it where it finds an adapter's configuration."""
    tuned = tuned_on(base)
    plain = score(LanguageModel.load(base, dtype=torch.float32))
    bare = LanguageModel(tuned.base, tuned.tokenizer)
    assert bare.has_adapter
    torch.testing.assert_close(score(bare), score(tuned))
    with bare.adapter(enabled=False):
        torch.testing.assert_close(score(bare), plain)
    torch.testing.assert_close(score(bare), score(tuned))
    assert any(parameter.requires_grad for parameter in bare.model.parameters())
    with pytest.raises(InputError, match="has an adapter already"):
        bare.with_lora()


def test_virtual_tokens_are_refused_since_they_would_be_passed_over(base, tmp_path):
    model = get_peft_model(tiny_model().base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(tmp_path / "prompt")
    with pytest.raises(InputError, match="kind PROMPT_TUNING: only adapters that change weights"):
        LanguageModel.load(tmp_path / "prompt")


def test_a_pickled_adapter_and_one_without_base_are_refused(base, tmp_path):
    folder = tuned_on(base).save_adapter(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors: pickle checkpoints are not supported"):
        LanguageModel.load(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(InputError, match="names no base model"):
        LanguageModel.load(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/gone/base"}))
    with pytest.raises(InputError, match=r"the base model of the adapter .*: /gone/base: no such folder"):
        LanguageModel.load(folder)


# -- what is saved -----------------------------------------------------------------------------------------------------


def test_a_saved_adapter_names_the_hub_and_no_path_of_this_machine(hub, base, tmp_path):
    commit = hub.add("org/model", base)
    card = AdapterCard("c-advul", {"steps": 40, "lr": 1e-3}, (("harmful requests refused", "50 %", "95 %"),))
    folder = tuned_on("org/model").save_adapter(tmp_path / "my-adapter", card)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/model", commit)
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
        if path.suffix != ".safetensors":
            assert str(tmp_path) not in path.read_text()
    text = (folder / "README.md").read_text()
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1]
    assert 'base_model: "org/model"' in head
    assert "library_name: peft" in head
    for words in ("[Needs", "More Information", "TODO"):
        assert words not in text
    for words in (commit, "| method | c-advul |", "| LoRA rank | 2 |", "| steps | 40 |"):
        assert words in text
    assert "| harmful requests refused | 50 % | 95 % |" in text


def test_a_base_from_a_folder_is_named_by_it_and_the_card_names_none(base, tmp_path):
    folder = tuned_on(base).save_adapter(tmp_path / "adapter")
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base.resolve())
    text = (folder / "README.md").read_text()
    assert "base_model" not in text
    assert str(tmp_path) not in text


def test_the_card_is_metadata_that_the_hub_reads(hub, base, tmp_path):
    from huggingface_hub import ModelCard

    hub.add("org/model", base)
    folder = tuned_on("org/model").save_adapter(tmp_path / "adapter", AdapterCard("mixat"))
    data = ModelCard.load(folder / "README.md").data
    assert (data.base_model, data.library_name, data.pipeline_tag) == ("org/model", "peft", "text-generation")
    assert data.tags == ["lora", "trued", "mixat"]


# -- the embedded default ----------------------------------------------------------------------------------------------


@pytest.fixture
def packaged(monkeypatch):
    """A tiny model in place of the wheel's."""

    def obtain(source, raw, work, report):
        write_base(work)

    monkeypatch.setattr(embedded, "_from_installed", obtain)
    monkeypatch.setattr(embedded, "_require_room", lambda *_: None)


def test_the_default_says_in_its_name_and_limits_that_it_was_quantised(packaged, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRUED_OFFLINE", "1")
    lm = LanguageModel.load(dtype=torch.float32)
    assert lm.name == "SmolLM2-135M-Instruct (Q4_1, dequantised)"
    assert lm.title == "SmolLM2-135M-Instruct"
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in lm.limits[0]
    assert "Q4_1" in lm.limits[0]
    assert hub.requests == []
    for name in ("default", "SmolLM2-135M-Instruct", lm.name):
        assert LanguageModel.load(name).name == lm.name


def test_an_adapter_on_the_default_loads_on_the_weights_it_was_trained_on(packaged, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    repo = SOURCES["smollm2"].hub
    tuned = tuned_on(None)
    folder = tuned.save_adapter(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (repo, None)
    assert "It was trained on weights that went through Q4_1" in (folder / "README.md").read_text()
    other = write_base(tmp_path / "other")
    hub.add(repo, other)
    hub.requests.clear()
    lm = LanguageModel.load(folder, dtype=torch.float32)
    assert lm.limits == tuned.limits
    assert hub.requests == []
    torch.testing.assert_close(score(lm), score(tuned))


def test_the_hubs_default_has_no_limits(packaged, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    commit = hub.add(SOURCES["smollm2"].hub, write_base(tmp_path / "original"))
    lm = LanguageModel.load()
    assert (lm.name, lm.limits, lm.origin.revision) == ("SmolLM2-135M-Instruct", (), commit)


# -- rooms -------------------------------------------------------------------------------------------------------------


def test_loading_knows_no_language_model():
    import grimp

    graph = grimp.build_graph("trued")
    rooms = [f"trued.language.engine.{name}" for name in ("loading", "embedded", "origin", "patches", "adapters")]
    assert not [name for name in rooms if graph.chain_exists(name, "trued.language.engine.model")]
