"""What is no causal language model is refused by its configuration, before a weight is read."""

import pytest
from transformers import AutoConfig

from trued.errors import InputError
from trued.fetch.hub import Files
from trued.language.engine.causal import causal_config


@pytest.mark.parametrize(
    ("kind", "architecture", "words"),
    [
        ("t5", "T5ForConditionalGeneration", r"is an encoder-decoder model \(t5\)"),
        ("bart", "BartForConditionalGeneration", r"is an encoder-decoder model \(bart\)"),
        ("vit", "ViTForImageClassification", r"is no language model that writes replies \(vit\)"),
        ("llama", "LlamaForSequenceClassification", r"holds a LlamaForSequenceClassification, which writes no replies"),
        ("roberta", "RobertaForMaskedLM", r"holds a RobertaForMaskedLM, which writes no replies"),
    ],
)
def test_other_kinds_are_refused_in_a_sentence(tmp_path, kind, architecture, words):
    AutoConfig.for_model(kind, architectures=[architecture]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=words + ": trued takes causal language models"):
        causal_config(Files(tmp_path))


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("llama", "LlamaForCausalLM"), ("gpt2", "GPT2LMHeadModel"), ("llama", None), ("bart", "BartForCausalLM")],
)
def test_causal_models_are_taken(tmp_path, kind, architecture):
    config = AutoConfig.for_model(
        kind, architectures=[architecture] if architecture else None, is_encoder_decoder=False
    )
    config.save_pretrained(tmp_path)
    assert causal_config(Files(tmp_path)).model_type == kind
