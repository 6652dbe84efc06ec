"""An adapter put on its base model: all of its weights, with the embeddings that it was trained with, or not at all.

What PEFT loads is checked: no weight of the adapter is left at random or passed over, switched off the base model is
back, and the model computes the same with and without PEFT's wrapper, which the engine goes round.

Knows models, PEFT and safetensors. Knows nothing of tokens' texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trued.errors import InputError
from trued.fetch.hub import Files
from trued.fetch.pretrained import guarded
from trued.fetch.weights import shapes
from trued.language.engine.probe import agree, probe

Shapes = Mapping[str, tuple[int, ...]]
_WRAPPER = "base_model.model."
_COPY = ".modules_to_save."
_WHOLE = tuple(
    f"{place}.weight"
    for place in ("", ".modules_to_save", ".original_module", ".base_layer", ".token_adapter.base_layer")
)


@dataclass(frozen=True)
class AdaptedModel:
    """A base model with its adapter on.

    Args:
        model: in PEFT's wrapper.
        own_embeddings: whether its embeddings have another number of rows than the base model's.
        notes: sentences on what that means.
    """

    model: Any
    own_embeddings: bool
    notes: tuple[str, ...]


def put_adapter(model: Any, files: Files, config: Any, *, tokens: int) -> AdaptedModel:
    """Put an adapter on a model.

    Args:
        model: the base model; it is changed.
        files: of the adapter.
        config: its PEFT configuration.
        tokens: token ids that its tokenizer uses, of its own if it has one.

    Raises:
        InputError: it belongs to another base, its weights do not fit or are missing, it has tokens without embeddings,
            or switching it off does not give the base model back.
    """
    saved = guarded(files.name, lambda: shapes([files.folder / "adapter_model.safetensors"]))
    _check_base(model, saved, files.name)
    dtype, rows = model.get_input_embeddings().weight.dtype, _rows(model)
    target = _target_rows(model, config, saved, tokens, files.name)
    common = min(rows, target)
    expected = probe(model, common)
    if target != rows:
        _resize(model, target)
    adapted = guarded(files.name, lambda: _load(model, config, files, saved)).eval()
    _check_effect(adapted, expected, common, dtype, files.name)
    notes = ()
    if target > rows:
        notes = (
            f"The adapter adds {target - rows} tokens to the model; with the adapter off, their embeddings are the "
            "mean of the base model's.",
        )
    return AdaptedModel(adapted, target != rows, notes)


def _load(model: Any, config: Any, files: Files, saved: Shapes) -> Any:
    """Do what `PeftModel.from_pretrained` does, and look at what it passes over.

    Raises:
        InputError: weights of the adapter are missing or have no place.
    """
    from peft import PeftModel
    from peft.mapping_func import MODEL_TYPE_TO_PEFT_MODEL_MAPPING

    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    config.inference_mode = True
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        adapted = kind(model, config)
        names = getattr(model, "_checkpoint_conversion_mapping", {})
        result = adapted.load_adapter(str(files.folder), "default", key_mapping=names)
    missing = _unshared(adapted, result.missing_keys)
    # PEFT writes a trained module twice where embeddings were resized: once by its plain name, which it reads.
    strange = [
        key for key in result.unexpected_keys if key.replace(_COPY, ".") == key or key.replace(_COPY, ".") not in saved
    ]
    for keys, words in ((missing, "lacks"), (strange, "holds, with no place in this model,")):
        if keys:
            raise InputError(
                f"the adapter in {files.name} {words} {len(keys)} weights, such as {sorted(keys)[0]}: it belongs to "
                "another base model, or was saved by a version of PEFT that named its weights otherwise"
            )
    return adapted


def _unshared(adapted: nn.Module, missing: Sequence[str]) -> list[str]:
    """Return the missing weights but for second names of loaded ones, as layers share a bank of vectors."""
    tensors = adapted.state_dict(keep_vars=True)
    loaded = {tensor.data_ptr() for name, tensor in tensors.items() if name not in set(missing)}
    return [name for name in missing if name not in tensors or tensors[name].data_ptr() not in loaded]


def _check_effect(adapted: Any, expected: torch.Tensor, rows: int, dtype: torch.dtype, name: str) -> None:
    with adapted.disable_adapter():
        off = probe(adapted.get_base_model(), rows)
    if not agree(expected, off, dtype):
        raise InputError(
            f"the adapter in {name} changes the base model's own weights (initialised from them, or saved with biases "
            "or embeddings of its own), so that it cannot be switched off: merge it into its base with PEFT and give "
            "that model"
        )
    inside, outside = probe(adapted.get_base_model(), rows), probe(adapted, rows)
    if not torch.isfinite(inside).all():
        raise InputError(f"the adapter in {name} gives logits that are no numbers: train it again at a lower rate")
    if not agree(inside, outside, dtype):
        raise InputError(
            f"the adapter in {name} works on the inputs of PEFT's wrapper: only adapters that change weights, such as "
            "LoRA, are supported"
        )


# -- embeddings --------------------------------------------------------------------------------------------------------


def _rows(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _target_rows(model: Any, config: Any, saved: Shapes, tokens: int, name: str) -> int:
    """Return how many rows the embeddings have that the adapter was trained with.

    Raises:
        InputError: it needs rows that it does not bring.
    """
    rows, sizes = _rows(model), set()
    ends = [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]
    for module in ends:
        path = _path(model, module)
        sizes |= {saved[key][0] for key in _keys(path, _WHOLE, saved)}
        sizes |= {saved[key][-1] for key in _keys(path, (".lora_embedding_A",), saved)}
        if module is not ends[0]:
            sizes |= {saved[key][0] for key in _keys(path, (".lora_B.weight",), saved)}
    if len(sizes) > 1:
        raise InputError(f"the adapter in {name} has embeddings of {' and '.join(map(str, sorted(sizes)))} rows")
    target = sizes.pop() if sizes else max(rows, tokens)
    if target <= rows:
        return target
    fresh = set(range(rows, min(target, tokens)))
    for module in ends:
        path = _path(model, module)
        tied = module is not ends[0] and module.weight is ends[0].weight
        if not (_keys(path, _WHOLE, saved) or fresh <= _trained_tokens(config, path, tied=tied)):
            raise InputError(
                f"the adapter in {name} comes with {len(fresh) or target - rows} tokens more than its base model has "
                f"embeddings ({rows}), and without their rows for '{path}': save it with "
                "modules_to_save=['embed_tokens', 'lm_head'], or with trainable_token_indices"
            )
    return target


def _path(model: nn.Module, module: nn.Module) -> str:
    return next(name for name, other in model.named_modules() if other is module)


def _keys(path: str, endings: Sequence[str], saved: Shapes) -> list[str]:
    return [key for ending in endings if (key := f"{_WRAPPER}{path}{ending}") in saved]


def _trained_tokens(config: Any, path: str, *, tied: bool) -> set[int]:
    """Return the ids whose rows an adapter trains by themselves in the module at `path`."""
    chosen = getattr(config, "trainable_token_indices", None) or getattr(config, "token_indices", None) or []
    if isinstance(chosen, dict):
        names = [name for name in chosen if tied or path == name or path.endswith(f".{name}")]
        return {number for name in names for number in chosen[name]}
    return set() if path.endswith("lm_head") and not tied else set(chosen)


@torch.no_grad()
def _resize(model: Any, rows: int) -> None:
    """Give the model that many rows; new ones are the mean of the others, so that no random number decides them."""
    before = _rows(model)
    with torch.random.fork_rng(devices=[]):
        model.resize_token_embeddings(rows, mean_resizing=False)
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        if module is not None and rows > before:
            module.weight[before:] = module.weight[:before].float().mean(0).to(module.weight.dtype)
            if getattr(module, "bias", None) is not None:
                module.bias[before:] = module.bias[:before].mean()
    model.requires_grad_(False)


# -- the base ----------------------------------------------------------------------------------------------------------


def _check_base(model: nn.Module, saved: Shapes, name: str) -> None:
    """Refuse an adapter that was trained on another base, by the widths of its first factors."""
    modules = dict(model.named_modules())
    absent: list[str] = []
    total = 0
    for key, shape in saved.items():
        path, _, part = key.removeprefix(_WRAPPER).partition(".lora_")
        if not part.startswith("A"):
            continue
        total += 1
        path = path.removesuffix(".base_layer")
        if path not in modules:
            absent.append(path)
            continue
        width = _inputs(modules[path])
        if width is not None and width != shape[-1]:
            raise InputError(
                f"the adapter in {name} belongs to another base model: its '{path}' takes {shape[-1]} features, this "
                f"model's {width}"
            )
    if total and len(absent) == total:
        raise InputError(f"the adapter in {name} belongs to another base model: this model has no layer '{absent[0]}'")


def _inputs(layer: Any) -> int | None:
    """The number of features that a linear layer takes; None for a layer of another kind."""
    return getattr(layer, "in_features", None)
