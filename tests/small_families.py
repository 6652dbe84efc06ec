"""Tiny random models of the kinds of causal language models, and what plain eager transformers computes with them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model

WINDOW = 8
SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
STATES = {
    "head_dim": 16, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": WINDOW, "head_dim": 8},
    "gemma3_text": {**MIXED, "head_dim": 16, "query_pre_attn_scalar": 16},
    "olmo3": MIXED,
    "cohere2": {**MIXED, "logit_scale": 0.25},
    "llama4_text": {
        "head_dim": 8, "intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": WINDOW,
        "no_rope_layers": [1, 0],
    },
    "gemma2": {**MIXED, "head_dim": 16, "query_pre_attn_scalar": 16, "final_logit_softcapping": 2.0},
    "gpt_oss": {**MIXED, "num_local_experts": 4, "head_dim": 16, "num_experts_per_tok": 2},
    "phi3": {
        "original_max_position_embeddings": 20,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [3.0] * 4,
            "original_max_position_embeddings": 20,
        },
    },
    "bloom": {"n_layer": 2, "n_head": 4},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 16},
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8,
                  "lm_head_multiplier": 0.5},
    "qwen3_5_text": STATES,
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "mamba": {},
    "rwkv": {"attention_hidden_size": 32},
    "deepseek_v3": {
        "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
        "v_head_dim": 12, "num_key_value_heads": 4,
    },
}  # fmt: skip


def family(kind: str, seed: int = 0) -> tuple[LanguageModel, Any]:
    """Return a model of a family as the engine runs it, and the same weights in plain eager transformers."""
    tokenizer = tiny_model().tokenizer
    config = AutoConfig.for_model(
        kind, **{**SIZES, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, **FAMILIES[kind]}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim >= 2 and not any(part in name for part in ("conv", "A_log", "dt", "time_")):
                    parameter.copy_(torch.randn(parameter.shape) * 0.15)
    plain = copy.deepcopy(model)
    if getattr(plain.config, "_attn_implementation", None) == "sdpa":
        plain.set_attn_implementation("eager")
    return LanguageModel(model, tokenizer, name=kind), plain


def logprobs(plain: Any, prompt: list[int], reply: list[int]) -> torch.Tensor:
    """Log-probabilities of a reply's tokens, by one forward pass of one sequence."""
    logits = plain(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0].float().log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(-1, torch.tensor(reply)[:, None])[:, 0]


@torch.no_grad()
def greedy(plain: Any, prompt: list[int], tokens: int, ends: frozenset[int]) -> list[int]:
    """The likeliest tokens, each by a forward pass over everything before it."""
    reply: list[int] = []
    while len(reply) < tokens:
        token = int(plain(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0, -1].argmax())
        if token in ends:
            break
        reply.append(token)
    return reply
