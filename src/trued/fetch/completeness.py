"""Whether a model was built from all of its weights: no layer left at random, and none in the files left out.

transformers reports what a model lacks and what it had no use for, and loads it all the same. Here that report is
judged. What transformers itself declares as ignorable is not in it.

Knows names and shapes of tensors, and transformers' report. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from trued.errors import InputError

SHOWN = 3
"""Names of tensors that a sentence gives."""

POOLER = r"(^|\.)pooler\."
"""The layer of an encoder that only its classification task uses."""

_RECOMPUTED = re.compile(r"(^|\.)(inv_freq|position_ids|masked_bias|num_batches_tracked)$")
_CAUSAL_MASK = re.compile(r"(^|\.)(attn|attention)\.bias$")
_OTHER_MODALITY = re.compile(
    r"(^|\.)(vision|visual|image|audio|speech|video|multi_modal|multimodal|mm_|embed_vision|embed_audio)\w*(\.|$)"
)
_NEXT_TOKENS = re.compile(r"(^|\.)(mtp|nextn|next_n|multi_token)\w*(\.|$)")
_LAYER = re.compile(r"(^|\.)(layers|h|blocks)\.(\d+)\.")
_UNMERGED = re.compile(r"\.(base_layer|lora_[AB])\.")


def judge_report(
    report: Mapping[str, Any],
    model: Any,
    saved: Mapping[str, tuple[int, ...]],
    *,
    name: str,
    unused: str | None = None,
) -> tuple[str, ...]:
    """Check transformers' report of a loaded model.

    Args:
        report: what `from_pretrained(…, output_loading_info=True)` gives beside the model.
        model: the model.
        saved: the shapes of the tensors in its files.
        name: what to call it.
        unused: a pattern of weights that the caller does not use, so that they may be absent or left over.

    Returns:
        What was left out of the files on purpose, in a sentence each.

    Raises:
        InputError: a weight is missing, has another shape, or belongs to a layer that the model does not have.
    """
    free = re.compile(unused) if unused else None
    misfits: list[Any] = sorted(report.get("mismatched_keys") or [])
    if misfits:
        key, there, wanted = misfits[0]
        raise InputError(
            f"{name}: {_count(misfits, 'weight')} of another shape than its config.json says, such as {key} "
            f"({tuple(there)}, expected {tuple(wanted)}): give the config.json that belongs to these weights"
        )
    missing = [key for key in report.get("missing_keys") or () if not (free and free.search(key))]
    if missing:
        raise InputError(
            f"{name} lacks {_count(missing, 'weight')} of the model that its config.json describes: {_some(missing)}. "
            f"They would be random: {_remedy(saved)}"
        )
    left = [key for key in report.get("unexpected_keys") or () if not (free and free.search(key))]
    left = [key for key in left if not _recomputed(key, saved)]
    other = [key for key in left if _OTHER_MODALITY.search(key)]
    ahead = [key for key in left if _NEXT_TOKENS.search(key) or _beyond(key, model)]
    heads = [key for key in left if _is_head(key, model, saved)]
    strange = sorted(set(left) - {*other, *ahead, *heads})
    if strange:
        raise InputError(
            f"{name} holds {_count(strange, 'weight')} that the model of its config.json has no place for: "
            f"{_some(strange)}. {_remedy(saved).capitalize()}"
        )
    kinds = (
        ("of pictures and sound", other),
        ("that predict further tokens", ahead),
        ("of another task's head", heads),
    )
    return tuple(f"{name}: {_count(keys, 'weight')} {words} not loaded." for words, keys in kinds if keys)


def _recomputed(key: str, saved: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a tensor is a buffer that old files hold and models compute by themselves."""
    if _RECOMPUTED.search(key):
        return True
    return bool(_CAUSAL_MASK.search(key)) and all(
        len(shape) == 4 for name, shape in saved.items() if name.endswith(key) or key.endswith(name)
    )


def _beyond(key: str, model: Any) -> bool:
    """Whether a weight is of a layer after the last one that predicts several tokens ahead, as the config says."""
    config = model.config.get_text_config(decoder=True)
    layers, further = (getattr(config, n, None) or 0 for n in ("num_hidden_layers", "num_nextn_predict_layers"))
    match = _LAYER.search(key)
    return bool(match and layers <= int(match[3]) < layers + further)


def _is_head(key: str, model: Any, saved: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a weight stands outside the body, whose names begin with the family's prefix, such as "bert."."""
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    bodied = bool(prefix) and any(f".{name}".find(f".{prefix}") >= 0 for name in saved)
    return bodied and not key.startswith(prefix) and not _LAYER.search(key) and not _UNMERGED.search(key)


def _remedy(saved: Iterable[str]) -> str:
    if any(_UNMERGED.search(key) for key in saved):
        return "an adapter is still apart in these files: merge it before saving, or save it as an adapter"
    return (
        "save the model again with save_pretrained of the unwrapped model, or give the config.json that belongs to it"
    )


def _count(keys: Iterable[Any], noun: str) -> str:
    number = len(list(keys))
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(keys: Iterable[str]) -> str:
    ordered = sorted(keys)
    more = len(ordered) - SHOWN
    return ", ".join(ordered[:SHOWN]) + (f" and {more} more" if more > 0 else "")
