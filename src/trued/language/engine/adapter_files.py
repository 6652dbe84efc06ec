"""What an adapter's folder says before its base model is loaded: its kind, and the tokenizer that it was trained with.

Knows PEFT's configuration and transformers' tokenizers. Knows nothing of models.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from trued.errors import InputError
from trued.fetch.hub import Files
from trued.fetch.pretrained import guarded, read_adapter_config, read_parts

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
"""Files of which any makes a folder one with a tokenizer of its own."""

_BESIDE_WEIGHTS = ("ADAPTION_PROMPT", "XLORA", "POLY", "SHADOW")
_logger = logging.getLogger(__name__)


def read_kind(files: Files) -> Any:
    """Return an adapter's configuration, if it is one that changes the weights of a causal language model.

    The engine runs decoder and output head by themselves, where virtual tokens and whatever else works on the inputs
    of PEFT's wrapper would be passed over.

    Raises:
        InputError: it is of another kind, for another task, or has settings that this PEFT does not know.
    """
    files.require("adapter_config.json", "adapter_model.safetensors")
    config = read_adapter_config(files)
    kind = getattr(config.peft_type, "value", config.peft_type)
    if config.is_prompt_learning or kind in _BESIDE_WEIGHTS or getattr(config, "alora_invocation_tokens", None):
        kind = f"{kind} with invocation tokens" if kind == "LORA" else kind
        raise InputError(
            f"{files.name} is an adapter of kind {kind}: only adapters that change weights, such as LoRA, are supported"
        )
    task = getattr(config.task_type, "value", config.task_type)
    if task not in (None, "CAUSAL_LM"):
        raise InputError(f"{files.name} is an adapter for {task}: give one for CAUSAL_LM")
    if strange := _unknown_settings(files, config):
        raise InputError(
            f"{files.name}: adapter_config.json sets {', '.join(strange)}, which this version of PEFT does not know: "
            "update peft"
        )
    return config


def _unknown_settings(files: Files, config: Any) -> list[str]:
    """Return settings that PEFT would pass over, of those that are set to something."""
    facts = guarded(files.name, lambda: json.loads((files.folder / "adapter_config.json").read_text(encoding="utf-8")))
    return sorted(name for name, value in facts.items() if value and not hasattr(config, name))


def read_tokenizer(files: Files, adapter: Files | None) -> tuple[Any, bool]:
    """Return the tokenizer to use, and whether anything of it is the adapter's own.

    An adapter was trained with the tokenizer and the chat template in its folder, where it has them.

    Args:
        files: of the base model.
        adapter: files of the adapter.

    Raises:
        InputError: a tokenizer is damaged, or the base model has none.
    """
    from transformers import AutoConfig, AutoTokenizer

    if adapter is None:
        return read_parts(AutoTokenizer, files), False
    template = _template(adapter)
    if not any(adapter.has(name) for name in VOCABULARIES):
        tokenizer = read_parts(AutoTokenizer, files)
        if template is not None:
            tokenizer.chat_template = template
        return tokenizer, template is not None
    tokenizer = read_parts(AutoTokenizer, adapter, config=read_parts(AutoConfig, files))
    if not tokenizer.chat_template and any(files.has(name) for name in VOCABULARIES):
        tokenizer.chat_template = read_parts(AutoTokenizer, files).chat_template
        if tokenizer.chat_template:
            _logger.warning("%s: its tokenizer has no chat template; the base model's is used.", adapter.name)
    return tokenizer, True


def _template(files: Files) -> Any:
    """Return the chat template in a folder that has no tokenizer beside it, or None."""
    if files.has("chat_template.jinja"):
        return (files.folder / "chat_template.jinja").read_text(encoding="utf-8")
    if not files.has("tokenizer_config.json"):
        return None
    facts = guarded(files.name, lambda: json.loads((files.folder / "tokenizer_config.json").read_text("utf-8")))
    template = facts.get("chat_template") if isinstance(facts, dict) else None
    return template if isinstance(template, str) else None
