"""Whether a checkpoint is a causal language model, told from its configuration before any weight is read.

Knows files and transformers' configurations. Knows nothing of weights.
"""

from __future__ import annotations

from typing import Any

from trued.errors import InputError
from trued.fetch.hub import Files
from trued.fetch.pretrained import read_parts

_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "WithLMHead", "GenerationDecoder")


def causal_config(files: Files) -> Any:
    """Return the configuration of a causal language model's files.

    Raises:
        InputError: the model is of another kind: it has an encoder, or it classifies, embeds or fills gaps.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    config = read_parts(AutoConfig, files)
    kind = getattr(config, "model_type", type(config).__name__)
    wanted = "trued takes causal language models, such as Llama or Qwen"
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{files.name} is an encoder-decoder model ({kind}): {wanted}")
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(f"{files.name} is no language model that writes replies ({kind}): {wanted}")
    heads = list(getattr(config, "architectures", None) or ())
    other = [name for name in heads if "For" in name and not any(head in name for head in _HEADS)]
    if heads and other == heads:
        raise InputError(f"{files.name} holds a {heads[0]}, which writes no replies: {wanted}")
    return config
