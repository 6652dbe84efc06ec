"""A tiny GGUF file, written the way llama.cpp writes one, converted and loaded again."""

import json

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from trued.errors import InputError
from trued.language.engine import gguf

DIM, HEADS, KV_HEADS, LAYERS, INNER = 64, 4, 2, 2, 96
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def interleaved(weight, heads):
    """Reorder the rows of a query or key projection from transformers' halves to llama.cpp's pairs."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def gguf_name(name):
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def rounded(weight):
    """Q4_1 and back: what a file of that kind holds of a matrix."""
    kind = GGMLQuantizationType.Q4_1
    return dequantize(quantize(weight, kind), kind)


@pytest.fixture(scope="module")
def reference():
    """A random model whose matrices Q4_1 holds exactly."""
    config = LlamaConfig(
        vocab_size=len(SPECIALS) + 256 + 1,
        hidden_size=DIM,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data = torch.from_numpy(rounded(rounded(parameter.detach().numpy() * 8)))
    return model


@pytest.fixture(scope="module")
def converted(reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_name("some training run")
    writer.add_context_length(128)
    writer.add_embedding_length(DIM)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(reference.config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*SPECIALS, *sorted(ByteLevel.alphabet()), "ĠĠ"])
    writer.add_token_types([3] * len(SPECIALS) + [1] * 257)
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in reference.named_parameters():
        data = tensor.detach().numpy()
        if "q_proj" in name or "k_proj" in name:
            data = interleaved(data, HEADS if "q_proj" in name else KV_HEADS)
        if data.ndim == 2:
            kind = GGMLQuantizationType.Q4_1
            writer.add_tensor(gguf_name(name), quantize(np.ascontiguousarray(data), kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    folder = path.parent / "out"
    folder.mkdir()
    steps = []
    gguf.convert(path, folder, name="tiny-instruct", report=lambda *step: steps.append(step))
    assert steps == [("converting tiny-instruct", step, gguf.STEPS) for step in range(gguf.STEPS + 1)]
    return folder


def test_weights_and_logits_are_those_of_the_model_that_was_packed(reference, converted):
    model = AutoModelForCausalLM.from_pretrained(converted).eval()
    expected, result = dict(reference.named_parameters()), dict(model.named_parameters())
    assert expected.keys() == result.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(result[name], tensor, rtol=1e-3, atol=1e-3, msg=name)
    ids = torch.arange(40)[None] * 5
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, reference(ids).logits, rtol=2e-2, atol=2e-2)


def test_the_folder_is_a_plain_trainable_float32_model(converted):
    config = json.loads((converted / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "float32"
    assert "some training run" not in json.dumps(config)
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    model(torch.tensor([[3, 4, 5]])).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.save_pretrained(converted.parent / "again")


def test_tokenizer_keeps_template_special_tokens_and_the_rule_for_digits(converted):
    tokenizer = AutoTokenizer.from_pretrained(converted)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)
    assert tokens == ["<|im_start|>", *"user", "Ċ", *"hi", "<|im_end|>", "Ċ"]
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == "user\nhi\n"
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert tokenizer.model_max_length == 128
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"], "digits are cut off before the spaces are split"
    for text in ("déjà vu 3.14\t✓", "  leading", "don't"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_weights_that_do_not_read_back_are_refused(reference, converted, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(converted)
    model.save_pretrained(tmp_path)
    gguf._compare(model, tmp_path / "model.safetensors")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    with pytest.raises(InputError, match="does not read back"):
        gguf._compare(model, tmp_path / "model.safetensors")
