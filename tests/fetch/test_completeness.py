"""A checkpoint that leaves layers at random is refused; what is left out of files on purpose is said, or ignored."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from trued.errors import InputError
from trued.fetch.completeness import POOLER
from trued.fetch.pretrained import read_model

BERT = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
LLAMA = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
}


@pytest.fixture
def llama(tmp_path):
    LlamaForCausalLM(LlamaConfig(**LLAMA)).save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder: Path, change) -> dict[str, torch.Tensor]:
    path = folder / "model.safetensors"
    weights = change(load_file(path))
    save_file(weights, path, metadata={"format": "pt"})
    return weights


def read(folder: Path, kind=AutoModelForCausalLM, **options):
    return read_model(kind, folder, dtype=torch.float32, **options)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "base_model.model.", "module._orig_mod."])
def test_the_prefix_of_a_wrapper_is_named(prefix, llama):
    rewrite(llama, lambda weights: {prefix + key: value for key, value in weights.items()})
    with pytest.raises(InputError, match=rf"names of its \d+ weights have the prefix '{re.escape(prefix)}'"):
        read(llama)


def test_parts_that_were_compiled_one_by_one_are_named(llama):
    rewrite(llama, lambda weights: {key.replace(".mlp.", "._orig_mod.mlp."): v for key, v in weights.items()})
    with pytest.raises(InputError, match=r"prefix '_orig_mod\.'"):
        read(llama)


def test_missing_weights_are_named_and_counted(llama):
    rewrite(llama, lambda weights: {key: v for key, v in weights.items() if "layers.1.mlp" not in key})
    with pytest.raises(InputError, match=r"lacks 3 weights .*model\.layers\.1\.mlp\.down_proj\.weight, .*random"):
        read(llama)


def test_a_missing_head_is_refused_unless_it_is_tied(tmp_path):
    for tied in (False, True):
        folder = tmp_path / str(tied)
        LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=tied)).save_pretrained(folder)
        rewrite(folder, lambda weights: {key: v for key, v in weights.items() if key != "lm_head.weight"})
        if tied:
            read(folder)
        else:
            with pytest.raises(InputError, match=r"lacks 1 weight .*lm_head\.weight"):
                read(folder)


def test_an_untied_copy_of_a_tied_head_is_no_error(tmp_path):
    LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=True)).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda w: {**w, "lm_head.weight": w["model.embed_tokens.weight"].clone()})
    model = read(tmp_path)
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


def test_a_misfit_names_both_shapes(llama):
    rewrite(llama, lambda weights: {**weights, "model.layers.0.mlp.up_proj.weight": torch.zeros(5, 16)})
    with pytest.raises(
        InputError, match=r"1 weight of another shape .*up_proj\.weight \(\(5, 16\), expected \(16, 16\)"
    ):
        read(llama)


@pytest.mark.parametrize("key", ["model.layers.0.self_attn.q_norm.weight", "model.layers.5.mlp.up_proj.weight", "foo"])
def test_a_weight_of_the_body_without_a_place_is_refused(key, llama):
    if key == "foo":
        key = "model.foo"
    rewrite(llama, lambda weights: {**weights, key: torch.zeros(8)})
    with pytest.raises(InputError, match=rf"holds 1 weight that the model .*has no place for: {re.escape(key)}"):
        read(llama)


def test_an_adapter_that_was_not_merged_is_told_apart(llama):
    rewrite(llama, lambda weights: {key.replace("q_proj.", "q_proj.base_layer."): v for key, v in weights.items()})
    with pytest.raises(InputError, match="an adapter is still apart in these files: merge it"):
        read(llama)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("model.vision_tower.layers.0.weight", "of pictures and sound"),
        ("vision_model.encoder.layers.0.q.weight", "of pictures and sound"),
        ("mtp.layers.0.weight", "that predict further tokens"),
        ("v_head.summary.weight", "of another task's head"),
    ],
)
def test_what_a_text_model_leaves_out_is_said(key, words, llama):
    rewrite(llama, lambda weights: {**weights, key: torch.zeros(8)})
    notes: list[str] = []
    read(llama, notes=notes)
    assert notes == [f"{llama}: 1 weight {words} not loaded."]


def test_layers_that_predict_further_tokens_are_left_out_where_the_config_has_them(llama):
    rewrite(llama, lambda weights: {**weights, "model.layers.2.eh_proj.weight": torch.zeros(8)})
    with pytest.raises(InputError, match="no place for"):
        read(llama)
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 1}))
    notes: list[str] = []
    read(llama, notes=notes)
    assert "that predict further tokens" in notes[0]


def test_buffers_of_old_files_are_ignored(tmp_path):
    LlamaForCausalLM(LlamaConfig(**LLAMA)).save_pretrained(tmp_path / "llama")
    rewrite(tmp_path / "llama", lambda w: {**w, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)})
    GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path / "gpt2")
    mask = torch.ones(1, 1, 8, 8)
    rewrite(
        tmp_path / "gpt2",
        lambda w: {**w, "transformer.h.0.attn.bias": mask, "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)},
    )
    for name in ("llama", "gpt2"):
        notes: list[str] = []
        read(tmp_path / name, notes=notes)
        assert notes == []


def test_encoders_may_lack_a_pooler_and_leave_heads_over(tmp_path):
    BertForMaskedLM(BertConfig(**BERT)).save_pretrained(tmp_path / "masked")
    BertForSequenceClassification(BertConfig(**BERT)).save_pretrained(tmp_path / "classifier")
    BertModel(BertConfig(**BERT)).save_pretrained(tmp_path / "bare")
    for name in ("masked", "classifier", "bare"):
        read(tmp_path / name, AutoModel, unused=POOLER)
    with pytest.raises(InputError, match="pooler"):
        read(tmp_path / "masked", AutoModel)
    with pytest.raises(InputError, match=r"lacks \d+ weights .*cls\.predictions"):
        read(tmp_path / "classifier", AutoModelForMaskedLM, unused=POOLER)
    rewrite(tmp_path / "bare", lambda w: {key: v for key, v in w.items() if "attention.self.query" not in key})
    with pytest.raises(InputError, match=r"encoder\.layer\.0\.attention\.self\.query"):
        read(tmp_path / "bare", AutoModel, unused=POOLER)


def test_the_table_of_transformers_is_not_printed(llama, capfd):
    rewrite(llama, lambda weights: {key: v for key, v in weights.items() if "layers.1.mlp" not in key})
    with pytest.raises(InputError):
        read(llama)
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.bin", "../other.safetensors", 3])
def test_an_index_that_names_no_safetensors_beside_it_is_refused(name, llama):
    (llama / "model.safetensors").rename(llama / "weights.bin")
    (llama / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(InputError, match="which is no safetensors file beside it"):
        read(llama)


def test_a_distributed_checkpoint_beside_the_weights_is_refused(llama):
    (llama / "shard-00001-model-00001-of-00001.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="holds a distributed checkpoint beside"):
        read(llama)


def test_an_adapter_beside_an_encoders_weights_is_refused(llama):
    (llama / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds both a model and an adapter"):
        read(llama, AutoModel)
