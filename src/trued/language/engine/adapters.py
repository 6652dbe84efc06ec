"""LoRA on a Hugging Face model: put on, switched off, and saved.

Knows models and PEFT. Knows nothing of tokens or text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trued.errors import InputError
from trued.files import whole_folder, write_text
from trued.language.engine.card import AdapterCard
from trued.language.engine.folding import tuner_layers
from trued.language.engine.origin import BASE_FILE, Origin

_STATE_SPACE = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Families whose fast kernels read the weights of `out_proj` and `conv1d` themselves, past any layer of PEFT's."""


def has_adapter(model: nn.Module) -> bool:
    """Whether a model has an adapter, in PEFT's wrapper or injected into its layers without one."""
    return hasattr(model, "peft_config") or bool(tuner_layers(model))


def with_fresh_lora(model: Any, *, r: int, alpha: float, dropout: float, seed: int) -> Any:
    """Return a PEFT model around `model` with fresh, trainable LoRA on all linear layers that PEFT can adapt.

    Raises:
        InputError: the model has an adapter already.
    """
    from peft import LoraConfig, get_peft_model

    if has_adapter(model):
        raise InputError("this model has an adapter already: merge it, or start from its base")
    shape: dict[str, Any] = {"r": r, "lora_alpha": alpha, "lora_dropout": dropout}
    state_space = getattr(model.config, "model_type", "") in _STATE_SPACE
    outside = [*(["out_proj", "conv1d"] if state_space else []), *_other_products(model)]
    config = LoraConfig(**shape, target_modules="all-linear", exclude_modules=outside or None, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _other_products(model: nn.Module) -> list[str]:
    """Names of layers that are linear by their class and give something else, such as routers or grouped products."""
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
        and type(layer).forward is not nn.Linear.forward
        and type(layer).__module__.startswith("transformers.")
        and not _is_product(layer)
    ]


@torch.no_grad()
def _is_product(layer: nn.Linear) -> bool:
    try:
        out = layer(layer.weight.new_zeros(2, layer.in_features))
    except Exception:  # what a layer says of an input that it does not take is its author's choice
        return False
    return isinstance(out, torch.Tensor) and out.shape == (2, layer.out_features)


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """Switch an adapter off for a while.

    Raises:
        InputError: there is none, so that switching it off would compare a model with itself.
    """
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield
        return
    layers = [layer for layer in tuner_layers(model) if not layer.disable_adapters]
    if not layers:
        raise InputError("this model has no adapter to switch off: load one, or name the base model itself")
    gradients = [(parameter, parameter.requires_grad) for layer in layers for parameter in layer.parameters()]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter, needed in gradients:
            parameter.requires_grad_(needed)


def save_adapter(
    model: Any, folder: str | Path, origin: Origin | None, card: AdapterCard, *, tokenizer: Any = None
) -> Path:
    """Write an adapter in PEFT's layout, atomically, with a model card; transformers, TRL, vLLM and PEFT load it.

    The configuration and the card name the base model by its hub id and revision. Only a base that never had a hub id
    is named by its folder, and then the card names none.

    Args:
        model: a PEFT model.
        folder: where to; a folder of that name is replaced.
        origin: where the base model came from.
        card: what the model card says of training and check.
        tokenizer: saved beside the adapter where it, or its chat template, was the adapter's own.

    Raises:
        InputError: the model has no adapter in PEFT's wrapper.
    """
    if not hasattr(model, "get_base_model"):
        raise InputError("this model has no adapter to save: train one first")
    own = origin.own if origin is not None else ()
    with whole_folder(folder, kind="model") as work:
        # PEFT would look the base model up on the hub to find out whether its embeddings were resized.
        model.save_pretrained(work, safe_serialization=True, save_embedding_layers="embeddings" in own)
        if tokenizer is not None and "tokenizer" in own:
            tokenizer.save_pretrained(work)
        path = work / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        if origin is not None:
            config["base_model_name_or_path"] = origin.hub or origin.folder or config["base_model_name_or_path"]
            config["revision"] = origin.revision
            write_text(work / BASE_FILE, json.dumps(origin.to_json(), indent=1) + "\n")
        write_text(path, json.dumps(config, indent=2, sort_keys=True) + "\n")
        write_text(work / "README.md", card.render(Path(folder).name, origin, config))
    return Path(folder)
