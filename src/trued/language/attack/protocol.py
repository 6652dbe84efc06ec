"""What a rate means nothing without: which model, under which template, attacked and judged with which settings.

Knows models, settings and digests. Knows nothing of what is measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from trued.language.attack.contract import ChatTarget


def describe_target(target: ChatTarget) -> dict[str, Any]:
    """Return what a rate of this model means nothing without: its template, its numbers, and which weights they are."""
    lm = target.model
    template = "none (plain text)" if lm.format.plain else lm.format.source
    whose = "given" if lm.format.template else "the tokenizer's own"
    digest = hashlib.sha256(template.encode()).hexdigest()[:8]
    return {
        "template": template if lm.format.plain else f"{whose} ({digest})",
        "dtype": str(lm.dtype).removeprefix("torch."),
        "weights": weights_digest(lm.model),
        **({"notes": list(lm.format.limits)} if lm.format.limits else {}),
    }


def weights_digest(model: torch.nn.Module, samples: int = 64) -> str:
    """Return a digest of evenly spaced entries of every parameter: cheap, and another one after any training."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten()
        picked = flat[:: max(1, len(flat) // samples)].float().cpu()
        digest.update(name.encode() + picked.numpy().tobytes())
    return digest.hexdigest()[:16]


def described(value: Any) -> Any:
    """Return a setting as JSON; models, judges and other objects go by their name."""
    if callable(getattr(value, "label", None)):
        return value.name  # a judge's name has its settings; its phrases would fill pages
    if is_dataclass(value) and not isinstance(value, type):
        inner = {field.name: described(getattr(value, field.name)) for field in fields(value) if field.init}
        return {type(value).__name__: inner}
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(getattr(value, "name", None) or type(value).__name__)


def notes_of(value: Any) -> list[str]:
    """Return what the endpoints in an attack or a judge have to say of their replies, each sentence once."""
    if isinstance(notes := getattr(value, "notes", None), list):
        return notes
    if is_dataclass(value) and not isinstance(value, type):
        inner = [note for field in fields(value) for note in notes_of(getattr(value, field.name))]
        return list(dict.fromkeys(inner))
    return []
