"""How a tiny random model is built: a configuration of the sizes that its class knows, and weights that show errors."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

STD = 0.15

VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 28,
    "patch_size": 14, "depth": 2, "num_heads": 4, "embed_dim": 32, "out_hidden_size": 32,
}  # fmt: skip
"""Sizes of the part of a language model that sees pictures."""


def configured(kind: Any, sizes: dict[str, Any], own: dict[str, Any]) -> Any:
    """Build a configuration of this class, and those of its parts, of the sizes that it knows and its own settings."""
    known = inspect.signature(kind.__init__).parameters
    settings = {name: value for name, value in sizes.items() if name in known}
    for name, value in settings.items():
        if value is None and "None" not in str(known[name].annotation):
            settings[name] = 1  # a family that has to have a token of this kind
    settings.update(own)
    for name, part in parts_of(kind).items():
        wanted = own.get(name, {})
        language = "text" in name or "decoder" in name
        settings[name] = configured(part, sizes if language else {**sizes, **VISION}, wanted)
    return kind(**settings)


def parts_of(kind: Any) -> dict[str, Any]:
    """The classes of the configurations that one of this class has as parts, those left out that it can do without."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    parts = {}
    for name, spec in (getattr(kind, "sub_configs_defaults", None) or {}).items():
        if getattr(spec, "optional", False):
            continue
        model_type = getattr(spec, "model_type", None) if not isinstance(spec, type) else None
        part = spec if isinstance(spec, type) else spec.config_class
        if part.__name__ == "AutoConfig":
            part = CONFIG_MAPPING[model_type]
        if part.__name__ != "Config":
            parts[name] = part
    return parts


def save_encoder(config: Any, folder: Path, *, convolutions: bool = False) -> None:
    """Save a random model of a configuration, as `AutoModel` builds it."""
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config).eval()
    randomize(model, convolutions=convolutions)
    model.save_pretrained(folder)


@torch.no_grad()
def randomize(model: Any, seed: int = 0, *, convolutions: bool = False) -> None:
    """Draw a model's weights large enough for errors to show; what steers a recurrence stays as it was.

    Args:
        model: with parameters in float32.
        convolutions: whether their weights are drawn too.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        recurrent = "A_log" in name or "dt" in name or ("conv" in name and not convolutions)
        if not parameter.is_floating_point() or (recurrent and parameter.ndim >= 2) or "A_log" in name:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim >= 4:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        elif parameter.ndim >= 2:
            parameter.copy_(noise * STD)
        elif not recurrent:
            parameter.add_(noise * 0.1)
