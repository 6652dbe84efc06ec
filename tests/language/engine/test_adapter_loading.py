"""Adapters of every kind: on, folded and off they compute what PEFT computes, or they are refused in one sentence."""

import json
from pathlib import Path

import peft
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM

from trued.errors import InputError
from trued.language.engine.adapters import with_fresh_lora
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model

PROMPTS, REPLIES = ["the wheel", "is it true?"], [["yes", "not yet"], ["spin it"]]
TASK = {"task_type": "CAUSAL_LM"}
ALL = {**TASK, "target_modules": "all-linear"}
ATTENTION = {**TASK, "target_modules": ["q_proj", "v_proj"]}

FAMILIES = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": 48},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "qwen2": {"num_key_value_heads": 2, "intermediate_size": 48},
    "qwen3_moe": {
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "num_experts": 4,
        "moe_intermediate_size": 16,
        "head_dim": 8,
        "num_experts_per_tok": 2,
    },
}


def write_base(folder: Path, family: str = "llama", *, rows: int = 5, tied: bool = False) -> Path:
    """Save a random model of a family with more rows than its tokenizer has tokens."""
    tokenizer = tiny_model().tokenizer
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
    special = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": None}
    facts = {**shape, **special, **FAMILIES[family], "vocab_size": len(tokenizer) + rows, "tie_word_embeddings": tied}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **facts))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.copy_(torch.randn(parameter.shape) * 0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def plain(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def adapted(base: Path, config, folder: Path, *, rows: int | None = None, scale: float = 0.2):
    """Put a random adapter on a base, save it, and return PEFT's model."""
    model = plain(base)
    if rows is not None:
        model.resize_token_embeddings(rows)
    model = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * scale)
    model.eval().save_pretrained(folder)
    return model


def expected(model, lm: LanguageModel) -> torch.Tensor:
    """Log-probabilities of the replies, one sequence at a time through PEFT's model itself."""
    values = []
    for prompt, replies in zip(PROMPTS, REPLIES, strict=True):
        for reply in replies:
            before, after = lm.prompt_ids(prompt), lm.reply_ids(reply)
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([before + after]), use_cache=False).logits[0]
            scores = logits.log_softmax(-1)[len(before) - 1 : -1]
            values.append(scores.gather(1, torch.tensor(after)[:, None])[:, 0])
    return torch.cat(values)


def actual(lm: LanguageModel) -> torch.Tensor:
    return torch.cat([scores for group in lm.logprobs(PROMPTS, REPLIES) for scores in group])


def check(lm: LanguageModel, model) -> None:
    """On, folded and off agree with PEFT, and folding leaves no trace."""
    close = {"atol": 1e-4, "rtol": 0}
    on = expected(model, lm)
    with model.disable_adapter():
        off = expected(model, lm)
    assert (on - off).abs().max() > 1e-3
    torch.testing.assert_close(actual(lm), on, **close)
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    with lm.merged():
        torch.testing.assert_close(actual(lm), on, **close)
    assert all(torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())
    torch.testing.assert_close(actual(lm), on, **close)
    with lm.adapter(enabled=False):
        torch.testing.assert_close(actual(lm), off, **close)
    torch.testing.assert_close(actual(lm), on, **close)


KINDS = {
    "lora": ("llama", LoraConfig(**ALL, r=4)),
    "rslora": ("llama", LoraConfig(**ALL, r=4, use_rslora=True)),
    "dora": ("llama", LoraConfig(**ALL, r=4, use_dora=True)),
    "rank pattern": ("llama", LoraConfig(**ALL, r=4, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3})),
    "one layer": ("llama", LoraConfig(**ATTENTION, r=4, layers_to_transform=[1])),
    "lora bias": ("llama", LoraConfig(**ATTENTION, r=4, lora_bias=True)),
    "lora bias beside biases": ("qwen2", LoraConfig(**ATTENTION, r=4, lora_bias=True)),
    "embeddings": ("llama", LoraConfig(**TASK, r=4, target_modules=["embed_tokens", "q_proj", "lm_head"])),
    "saved modules": ("llama", LoraConfig(**ATTENTION, r=4, modules_to_save=["lm_head", "norm"])),
    "trained tokens": ("llama", LoraConfig(**ATTENTION, r=4, trainable_token_indices=[*range(60, 110), 256])),
    "conv1d": ("gpt2", LoraConfig(**TASK, r=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "conv1d dora": ("gpt2", LoraConfig(**TASK, r=4, target_modules=["c_attn"], fan_in_fan_out=True, use_dora=True)),
    "experts": (
        "qwen3_moe",
        LoraConfig(
            **TASK, r=4, target_modules=["q_proj"], target_parameters=["experts.gate_up_proj", "experts.down_proj"]
        ),
    ),
    "loha": ("llama", peft.LoHaConfig(**ATTENTION, r=4)),
    "lokr": ("llama", peft.LoKrConfig(**ATTENTION, r=4)),
    "ia3": ("qwen2", peft.IA3Config(**TASK, target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])),
    "oft": ("llama", peft.OFTConfig(**ATTENTION, oft_block_size=8)),
    "vera": ("llama", peft.VeraConfig(**TASK, target_modules=["q_proj"], r=8)),
    "vblora": ("llama", peft.VBLoRAConfig(**ATTENTION, r=2, num_vectors=16, vector_length=8, topk=2)),
    "norms": ("llama", peft.LNTuningConfig(**TASK, target_modules=["input_layernorm"])),
    "fourier": ("llama", peft.FourierFTConfig(**ATTENTION, n_frequency=50)),
    "hra": ("llama", peft.HRAConfig(**ATTENTION, r=4)),
    "shira": ("llama", peft.ShiraConfig(**ATTENTION, r=4)),
    "tokens only": (
        "llama",
        peft.TrainableTokensConfig(**TASK, token_indices=[*range(40, 120)], target_modules=["embed_tokens"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_on_folded_and_off_are_pefts(name, tmp_path):
    family, config = KINDS[name]
    base = write_base(tmp_path / "base", family)
    model = adapted(base, config, tmp_path / "adapter", scale=3 if name == "vera" else 0.2)
    check(LanguageModel.load(tmp_path / "adapter", dtype=torch.float32), model)


def test_layers_that_kernels_of_mamba_read_themselves_get_no_adapter():
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, state_size=4))
    tuned = with_fresh_lora(model, r=2, alpha=4, dropout=0, seed=0)
    adapted_names = {name.rpartition(".lora_A")[0].rpartition(".")[2] for name, _ in tuned.named_parameters()} - {""}
    assert adapted_names == {"in_proj", "x_proj", "dt_proj"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_adapter_trains_is_saved_and_comes_back(family, tmp_path):
    lm = LanguageModel.load(write_base(tmp_path / "base", family), dtype=torch.float32).with_lora(r=2, alpha=4)
    rows = lm.rows([lm.prompt_ids(PROMPTS[0])], [[lm.reply_ids("yes")]])
    optimiser = torch.optim.SGD([p for p in lm.model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(3):
        loss = -lm.response_logprobs(rows).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    trained = actual(lm)
    with lm.adapter(enabled=False):
        assert (actual(lm) - trained).abs().max() > 1e-3
    again = LanguageModel.load(lm.save_adapter(tmp_path / "adapter"), dtype=torch.float32)
    torch.testing.assert_close(actual(again), trained, atol=1e-5, rtol=0)
    check(again, PeftModel.from_pretrained(plain(tmp_path / "base"), tmp_path / "adapter").eval())


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (peft.PromptTuningConfig(**TASK, num_virtual_tokens=4), "kind PROMPT_TUNING: only adapters that change"),
        (peft.PrefixTuningConfig(**TASK, num_virtual_tokens=4), "kind PREFIX_TUNING: only adapters that change"),
        (peft.PromptEncoderConfig(**TASK, num_virtual_tokens=4), "kind P_TUNING: only adapters that change"),
        (LoraConfig(**ATTENTION, r=2, alora_invocation_tokens=[5, 6]), "LORA with invocation tokens"),
        (LoraConfig(**ATTENTION, r=2, init_lora_weights="pissa"), "cannot be switched off"),
        (LoraConfig(**ATTENTION, r=2, init_lora_weights="olora"), "cannot be switched off"),
        (LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj"]), "is an adapter for SEQ_CLS"),
    ],
)
def test_what_the_engine_would_pass_over_is_refused(config, sentence, tmp_path):
    base = write_base(tmp_path / "base")
    if config.task_type == "SEQ_CLS":
        get_peft_model(plain(base), LoraConfig(**ATTENTION)).save_pretrained(tmp_path / "adapter")
        change(tmp_path / "adapter", task_type="SEQ_CLS")
    else:
        adapted(base, config, tmp_path / "adapter")
    with pytest.raises(InputError, match=sentence) as raised:
        LanguageModel.load(tmp_path / "adapter", dtype=torch.float32)
    assert "\n" not in str(raised.value)


def change(folder: Path, **facts) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | facts))


def test_trained_biases_of_the_base_are_refused_since_off_would_not_be_the_base(tmp_path):
    base = write_base(tmp_path / "base", "qwen2")
    adapted(base, LoraConfig(**ATTENTION, r=2, bias="all"), tmp_path / "adapter")
    with pytest.raises(InputError, match="cannot be switched off"):
        LanguageModel.load(tmp_path / "adapter", dtype=torch.float32)


def test_weights_that_are_missing_or_have_no_place_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    base, folder = write_base(tmp_path / "base"), tmp_path / "adapter"
    adapted(base, LoraConfig(**ATTENTION, r=2), folder)
    weights = load_file(folder / "adapter_model.safetensors")
    first, *rest = sorted(weights)
    save_file({key: weights[key] for key in rest}, folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"lacks 1 weights, such as .*lora_A"):
        LanguageModel.load(folder)
    save_file(
        {**weights, first.replace("layers.0", "layers.7"): weights[first].clone()}, folder / "adapter_model.safetensors"
    )
    with pytest.raises(InputError, match=r"no place in this model, 1 weights, such as .*layers\.7"):
        LanguageModel.load(folder)


def test_a_setting_of_a_newer_peft_is_refused_and_an_empty_one_is_not(tmp_path):
    base, folder = write_base(tmp_path / "base"), tmp_path / "adapter"
    adapted(base, LoraConfig(**ATTENTION, r=2), folder)
    change(folder, use_new_idea=False, other_idea=None)
    LanguageModel.load(folder)
    change(folder, use_new_idea=True)
    with pytest.raises(InputError, match="sets use_new_idea, which this version of PEFT does not know"):
        LanguageModel.load(folder)


def test_a_folder_of_adapters_names_them(tmp_path):
    base = write_base(tmp_path / "base")
    for name in ("first", "second"):
        adapted(base, LoraConfig(**ATTENTION, r=2), tmp_path / "adapters" / name)
    with pytest.raises(InputError, match=r"adapters in its folders first, second: give one of those folders"):
        LanguageModel.load(tmp_path / "adapters")
    assert LanguageModel.load(tmp_path / "adapters" / "second").has_adapter


def test_a_repository_of_adapters_names_them(hub, tmp_path):
    for name in ("first", "second"):
        adapted(write_base(tmp_path / "base"), LoraConfig(**ATTENTION, r=2), tmp_path / "adapters" / name)
    hub.add("me/adapters", tmp_path / "adapters")
    with pytest.raises(InputError, match=r"me/adapters holds adapters in its folders first, second"):
        LanguageModel.load("me/adapters")


# -- tokenizers and embeddings -----------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def longer(count: int):
    tokenizer = tiny_model().tokenizer
    tokenizer.add_tokens([AddedToken(f"<|new{i}|>", special=True, normalized=False) for i in range(count)])
    tokenizer.chat_template = TEMPLATE.replace("[assistant]", f"<|new{count - 1}|>")
    return tokenizer


def test_the_adapters_tokenizer_and_chat_template_are_used_and_saved_again(tmp_path):
    base, folder = write_base(tmp_path / "base"), tmp_path / "adapter"
    model = adapted(base, LoraConfig(**ALL, r=2), folder)
    tokenizer = tiny_model().tokenizer
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    lm = LanguageModel.load(folder, dtype=torch.float32)
    assert lm.format.render("q") == "[user] q<|im_end|>[assistant] "
    check(lm, model)
    assert LanguageModel.load(base).format.render("q") != lm.format.render("q")
    again = LanguageModel.load(lm.save_adapter(tmp_path / "again"), dtype=torch.float32)
    assert again.format.render("q") == lm.format.render("q")
    torch.testing.assert_close(actual(again), actual(lm))


def test_a_chat_template_without_tokenizer_goes_to_the_bases_tokenizer(tmp_path):
    base, folder = write_base(tmp_path / "base"), tmp_path / "adapter"
    adapted(base, LoraConfig(**ATTENTION, r=2), folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    assert LanguageModel.load(folder).format.render("q") == "[user] q<|im_end|>[assistant] "


@pytest.mark.parametrize(
    ("tied", "options"),
    [
        (False, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (True, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (False, {"trainable_token_indices": {"embed_tokens": [262, 263, 266], "lm_head": [262, 263, 266]}}),
    ],
)
def test_added_tokens_come_with_their_rows(tied, options, tmp_path):
    base, folder = write_base(tmp_path / "base", tied=tied), tmp_path / "adapter"
    tokenizer = longer(8)
    rows = len(tokenizer)
    assert rows == 267
    model = adapted(base, LoraConfig(**ATTENTION, r=2, **options), folder, rows=rows)
    tokenizer.save_pretrained(folder)
    lm = LanguageModel.load(folder, dtype=torch.float32)
    assert lm.head.weight.shape[0] == rows
    assert sum("adapter" in sentence for sentence in lm.limits) == 1
    torch.testing.assert_close(actual(lm), expected(model, lm), atol=1e-4, rtol=0)
    with lm.merged():
        torch.testing.assert_close(actual(lm), expected(model, lm), atol=1e-4, rtol=0)
    again = LanguageModel.load(lm.save_adapter(tmp_path / "again"), dtype=torch.float32)
    torch.testing.assert_close(actual(again), actual(lm))


def test_embeddings_cut_to_the_tokenizer_are_cut_here_too(tmp_path):
    base, folder = write_base(tmp_path / "base", rows=40), tmp_path / "adapter"
    tokenizer = longer(3)
    model = adapted(
        base, LoraConfig(**ATTENTION, r=2, modules_to_save=["embed_tokens", "lm_head"]), folder, rows=len(tokenizer)
    )
    tokenizer.save_pretrained(folder)
    lm = LanguageModel.load(folder, dtype=torch.float32)
    assert lm.head.weight.shape[0] == len(tokenizer)
    assert not [sentence for sentence in lm.limits if "adapter" in sentence]
    torch.testing.assert_close(actual(lm), expected(model, lm), atol=1e-4, rtol=0)


def test_added_tokens_without_rows_are_refused(tmp_path):
    base, folder = write_base(tmp_path / "base"), tmp_path / "adapter"
    adapted(base, LoraConfig(**ATTENTION, r=2), folder)
    longer(8).save_pretrained(folder)
    with pytest.raises(InputError, match=r"3 tokens more than its base model has embeddings \(264\)"):
        LanguageModel.load(folder)
