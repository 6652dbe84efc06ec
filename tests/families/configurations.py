"""Tiny configurations of every family of causal language models that the installed transformers has.

`SIZES` holds what a parameter of that name is in any family; `FAMILIES` holds what else a family needs, above all what
makes its layers of every kind occur. Windows are shorter than long prompts, and nothing drops out.
"""

from __future__ import annotations

from typing import Any

import torch

from .building import configured, randomize
from .tokenizer import UNUSED_ROWS

WINDOW = 24
"""Tokens that a sliding window or a chunk of attention holds: more than a short prompt and its reply, less than a long
prompt."""

POSITIONS = 512

SIZES: dict[str, Any] = {
    # width and depth
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "emb_dim": 32, "embedding_size": 32, "embedding_dim": 32,
    "word_embed_proj_dim": 32, "input_embedding_size": 32, "output_embedding_size": 32, "backbone_hidden_size": 32,
    "hidden_size_global": 32,
    "cross_attention_hidden_size": 32, "lru_width": 32, "attention_hidden_size": 32, "intermediate_size": 48,
    "n_inner": 48, "ffn_dim": 48, "dff": 48, "dim_ff": 48, "d_inner": 48, "feed_forward_size": 48,
    "ffn_hidden_size": 48, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "num_hidden_layers": 2, "n_layer": 2,
    "n_layers": 2, "num_layers": 2, "encoder_layers": 2, "decoder_layers": 2, "num_encoder_layers": 2,
    "num_decoder_layers": 2, "num_blocks": 2, "max_position_embeddings": POSITIONS, "n_positions": POSITIONS,
    "max_seq_len": POSITIONS, "context_length": POSITIONS, "max_target_positions": POSITIONS,
    # heads
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "attention_heads": 4,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "dim_head": 8, "d_head": 8,
    "attention_head_size": 8, "attention_head_dim": 8, "kv_channels": 8, "rotary_dim": 4,
    # low-rank attention
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "qk_head_dim": 12,
    "v_head_dim": 8, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 8,
    # windows
    "sliding_window": WINDOW, "sliding_window_size": WINDOW, "window_size": WINDOW, "attention_window_size": WINDOW,
    "attention_chunk_size": WINDOW, "use_sliding_window": True, "max_window_layers": 1,
    # experts
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "num_experts_per_tok": 2,
    "num_experts_per_token": 2, "moe_topk": 2, "moe_k": 2, "top_k_experts": 2, "n_shared_experts": 1,
    "num_shared_experts": 1, "moe_num_shared_experts": 1, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16, "shared_intermediate_size": 16, "expert_ffn_hidden_size": 16, "n_group": 2,
    "topk_group": 1, "first_k_dense_replace": 1, "num_dense_layers": 1, "output_router_logits": False,
    "router_jitter_noise": 0.0, "input_jitter_noise": 0.0,
    # recurrence
    "state_size": 8, "ssm_state_size": 8, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_heads": 4,
    "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_ngroups": 1, "mamba_chunk_size": 16, "chunk_size": 16,
    "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 1, "n_mamba_heads": 2, "mamba_dt_rank": 4,
    "time_step_rank": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "linear_conv_kernel_dim": 4, "short_conv_kernel_size": 4, "linear_num_heads": 4,
    "linear_head_dim": 8, "use_mamba_kernels": False, "use_mem_eff_path": False,
    # what a decoder has that an encoder of the same class has not
    "is_decoder": True,
    # nothing is random
    **dict.fromkeys(
        (
            "attention_dropout", "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout",
            "activation_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "emb_pdrop", "decoder_layerdrop",
            "encoder_layerdrop", "layerdrop", "classifier_dropout", "residual_dropout", "embedding_dropout",
            "mlp_dropout", "resid_dropout", "embed_dropout", "dropout_p", "local_attention_probs_dropout_prob",
            "lsh_attention_probs_dropout_prob", "summary_first_dropout",
        ),
        0.0,
    ),
}  # fmt: skip

SLIDING = ["sliding_attention", "full_attention"]
PAD: dict[str, Any] = {"pad_token_id": 1}  # a token that the texts of the checks do not hold
ROBERTA: dict[str, Any] = {**PAD, "type_vocab_size": 1}
LOW_RANK: dict[str, Any] = {"num_key_value_heads": 4, "head_dim": 4}
ALL_INDEXED: dict[str, Any] = {"index_topk": POSITIONS}  # with fewer, plain transformers lets a token see later ones
WINDOWED: dict[str, Any] = {"layer_types": SLIDING}
ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
SCALED: dict[str, Any] = {
    "embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.7, "attention_multiplier": 0.2,
}  # fmt: skip
CAPPED: dict[str, Any] = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 3.0, "query_pre_attn_scalar": 8}
COHERE: dict[str, Any] = {"logit_scale": 0.8}
HYBRID: dict[str, Any] = {
    "num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}  # fmt: skip
INDEXED: dict[str, Any] = {
    "num_hidden_layers": 3, "layer_types": ["linear_attention", "indexed_attention", "linear_attention"],
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": POSITIONS,
    "indexer_compress_ratio": 4, "ple_layer_ids": [1], "heads_per_ngram": 2, "ngram_vocab_size_base": 64,
    "split_ngram_parts": 1, "make_ngram_vocab_size_divisible_by": 8,
}  # fmt: skip
CONVOLUTIONS: dict[str, Any] = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
GEMMA3: dict[str, Any] = {**WINDOWED, **CAPPED}
GEMMA3N: dict[str, Any] = {
    "num_hidden_layers": 4, "layer_types": [*SLIDING, *SLIDING], "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 8, "laurel_rank": 8, "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0],
    "intermediate_size": [48] * 4, "final_logit_softcapping": 2.0,
}  # fmt: skip
GEMMA4: dict[str, Any] = {
    "num_hidden_layers": 4, "layer_types": [*SLIDING, *SLIDING], "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 8, "global_head_dim": 8, "num_global_key_value_heads": 1,
    "final_logit_softcapping": 2.0,
}  # fmt: skip
LLAMA4: dict[str, Any] = {
    "layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0], "attn_temperature_tuning": True,
    "floor_scale": 16,
}  # fmt: skip

# What each family has besides SIZES. The windows, caps, scales and layers of every kind that it can have are on.
FAMILIES: dict[str, dict[str, Any]] = {
    "afmoe": {**WINDOWED, "mup_enabled": True},
    "axk1": LOW_RANK,
    "axk2": {**LOW_RANK, **ALL_INDEXED},
    "bailing_hybrid": {**HYBRID, **LOW_RANK},
    "bamba": {"num_hidden_layers": 3, "attn_layer_indices": [1]},
    "big_bird": {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "camembert": ROBERTA,
    "cohere": COHERE,
    "cohere2": {**COHERE, **WINDOWED},
    "cohere2_moe": {**COHERE, **WINDOWED},
    "cohere_compass_text": {**COHERE, **WINDOWED, "rope_parameters": dict.fromkeys(SLIDING, ROPE)},
    "cwm": WINDOWED,
    "data2vec-text": ROBERTA,
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": LOW_RANK,
    "deepseek_v3": LOW_RANK,
    "deepseek_v32": {**LOW_RANK, **ALL_INDEXED},
    "deepseek_v4": {
        "num_hidden_layers": 3,
        "layer_types": ["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"],
        "mlp_layer_types": ["hash_moe", "moe", "moe"],
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8},
    },
    "dots3_note": {
        "text_config": {"num_key_value_heads": 4, **ALL_INDEXED},
        "vision_config": {"per_layer_config": {}, "adapter_in_dim": 32, "adapter_out_dim": 32},
        "audio_config": {"adapter_input_size": 32, "adapter_out_dim": 32},
    },
    "dots3_note_text": {"num_key_value_heads": 4, **ALL_INDEXED},
    "exaone4": WINDOWED,
    "exaone_moe": WINDOWED,
    "falcon": {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma2": CAPPED,
    "gemma3": {"text_config": GEMMA3},
    "gemma3_text": GEMMA3,
    "gemma3n": {"text_config": GEMMA3N},
    "gemma3n_text": GEMMA3N,
    "gemma4": {"text_config": {**GEMMA4, **PAD}},
    "gemma4_text": GEMMA4,
    "gemma4_unified": {"text_config": {**GEMMA4, **PAD}},
    "gemma4_unified_text": GEMMA4,
    "glm4_moe_lite": LOW_RANK,
    "glm_moe_dsa": {**LOW_RANK, **ALL_INDEXED},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granite": SCALED,
    "granite_swa": SCALED,
    "granitemoe": SCALED,
    "granitemoe_swa": SCALED,
    "granitemoehybrid": {**SCALED, "num_hidden_layers": 3, "layer_types": ["mamba", "attention", "mamba"]},
    "granitemoeshared": SCALED,
    "hy_v4": ALL_INDEXED,
    "hyperclovax": SCALED,
    "inkling2_text": {"logits_mup_width_multiplier": 1.5, "layer_types": ["hybrid_sliding", "hybrid"]},
    "inkling_text": {"logits_mup_width_multiplier": 1.5, "layer_types": ["hybrid_sliding", "hybrid"]},
    "jamba": {
        "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "kimi_linear": {**HYBRID, **LOW_RANK},
    "kolibri1": WINDOWED,
    "laguna": WINDOWED,
    "lfm2": CONVOLUTIONS,
    "lfm2_moe": CONVOLUTIONS,
    "lfm3": {"num_hidden_layers": 3, "layer_types": ["conv", *SLIDING]},
    "llama4": {"text_config": LLAMA4},
    "llama4_text": LLAMA4,
    "longcat_flash": LOW_RANK,
    "mamba2": {"head_dim": 16},
    "mellum": WINDOWED,
    "minicpm3": {**LOW_RANK, "dim_model_base": 16},
    "minimax": {"block_size": 16},
    "minimax_m3_vl_text": {
        "layer_types": ["full_attention", "minimax_m3_sparse"], "mlp_layer_types": ["dense", "sparse"],
    },
    "ministral": WINDOWED,
    "mllama": {"text_config": {"cross_attention_layers": []}},
    "modernbert-decoder": {"num_hidden_layers": 3, "local_attention": WINDOW},
    "mpt": {"attn_config": {"attn_pdrop": 0}},
    "olmo3": WINDOWED,
    "prophetnet": PAD,
    "qwen3_5": {"text_config": HYBRID},
    "qwen3_5_moe": {"text_config": HYBRID},
    "qwen3_5_moe_text": HYBRID,
    "qwen3_5_text": HYBRID,
    "qwen3_next": HYBRID,
    "qwen4_exp": {"text_config": INDEXED},
    "qwen4_exp_text": INDEXED,
    "recurrent_gemma": {"num_hidden_layers": 3, "logits_soft_cap": 2.0},
    "reformer": {
        **PAD,
        "axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 32], "attn_layers": ["local", "lsh"],
    },
    "roberta": ROBERTA,
    "roberta-prelayernorm": ROBERTA,
    "roc_bert": {
        "pronunciation_vocab_size": 16, "shape_vocab_size": 16, "pronunciation_embed_dim": 8, "shape_embed_dim": 8,
    },
    "smollm3": {**WINDOWED, "no_rope_layers": [1, 0]},
    "xlm": {"causal": True, **PAD},
    "xlm-roberta": ROBERTA,
    "xlm-roberta-xl": ROBERTA,
    "xmod": {**ROBERTA, "languages": ["en_XX"], "default_language": "en_XX"},
    "youtu": LOW_RANK,
    "zamba": {
        "attention_hidden_size": 64, "attention_head_dim": 16, "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
    },
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
    "zaya": {"num_experts_per_tok": 1, "layer_types": ["hybrid", "hybrid_sliding"]},
}  # fmt: skip


def families() -> list[str]:
    """The names of all families of causal language models that transformers has, as `model_type` spells them."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny_config(family: str, tokenizer: Any) -> Any:
    """A tiny configuration of a family, with a few rows of embeddings more than the tokenizer has tokens."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    own = dict(FAMILIES.get(family, {}))
    vocabulary = {
        "vocab_size": len(tokenizer) + UNUSED_ROWS,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        "sep_token_id": None,
        "unpadded_vocab_size": len(tokenizer) + UNUSED_ROWS,
        "decoder_vocab_size": len(tokenizer) + UNUSED_ROWS,
        "vocab_size_per_layer_input": len(tokenizer) + UNUSED_ROWS,
    }
    return configured(CONFIG_MAPPING[family], {**SIZES, **vocabulary}, own)


def tiny_model(family: str, tokenizer: Any, *, seed: int = 0) -> Any:
    """A random model of a family, in float32."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(tiny_config(family, tokenizer), dtype=torch.float32).eval()
    randomize(model, seed)
    return model
