"""Find and load a model: a folder, a hub id, an adapter, or the embedded default; safetensors only.

Knows files and transformers. Turns what can go wrong there into one sentence with the remedy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch

from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.learn.device import open_device

EMBEDDED = ("SmolLM2-135M-Instruct", "default")
"""Names of the embedded default model."""


def default_dtype(device: str) -> torch.dtype:
    """bfloat16 where the processor or GPU computes in it natively, float32 elsewhere."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if device == "cpu" and native else torch.float32


def autocast(device: str | torch.device) -> Literal["no", "bf16"]:
    """Return what float32 weights are trained in on this device: `FitConfig.mixed_precision`."""
    return "bf16" if default_dtype(str(device)) is torch.bfloat16 else "no"


def served(lm: LanguageModel) -> LanguageModel:
    """Return a copy of a model in the number format that this device computes in, or itself if it is in that already.

    What works on float32 weights measures what a user gets, at a user's speed, on the copy.
    """
    from trued.language.engine.precision import in_precision

    dtype = default_dtype(str(lm.device))
    return lm if lm.dtype == dtype else in_precision(lm, "bfloat16" if dtype is torch.bfloat16 else "float32")


def load_model(
    source: str | Path | None,
    *,
    device: str | None,
    dtype: torch.dtype | Literal["auto"],
    adapter: str | Path | None,
    template: str | None,
) -> LanguageModel:
    """Do what `LanguageModel.load` says."""
    from transformers import AutoTokenizer

    device = str(open_device(device))
    if source in EMBEDDED:
        source = None
    name = str(source) if source is not None else EMBEDDED[0]
    if source is not None and adapter is None and _only_adapter(Path(source)):
        source, adapter = _adapter_base(Path(source)), source
    if source is None:
        from trued.language.engine.embedded import default_model

        source = default_model()
    if isinstance(source, Path) or Path(str(source)).exists():
        _check_folder(Path(source))
    resolved = default_dtype(device) if dtype == "auto" else dtype
    tokenizer = _guard(source, lambda: AutoTokenizer.from_pretrained(source))
    model = _guard(source, lambda: _weights(source, resolved)).to(device).eval()
    model.requires_grad_(False)
    if adapter is not None:
        model = _with_adapter(model, Path(adapter))
    return LanguageModel(model, tokenizer, name=name, template=template)


def _weights(source: str | Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(
        source, dtype=dtype, use_safetensors=True, trust_remote_code=False, attn_implementation="sdpa"
    )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: give the folder of a model, a hub id, or nothing for the default model")
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json: give the folder that a model was saved to")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} has no *.safetensors: save the model as safetensors, pickles stay shut")


def _guard(source: str | Path, load: Any) -> Any:
    from safetensors import SafetensorError

    try:
        return load()
    except SafetensorError as error:
        raise InputError(f"the weights of {source} are truncated or damaged ({error}): fetch them again") from error
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{source} could not be loaded: {reason}") from error


def _only_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()


def _adapter_base(folder: Path) -> str:
    config = json.loads((folder / "adapter_config.json").read_text())
    base = config.get("base_model_name_or_path")
    if not base:
        raise InputError(f"{folder}/adapter_config.json names no base model: give the base and --adapter {folder}")
    return str(base)


def _with_adapter(model: Any, folder: Path) -> Any:
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file():
        raise InputError(f"{folder} has no adapter_config.json: it is not a PEFT adapter")
    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder} has no adapter_model.safetensors: save it as safetensors, pickles stay shut")
    _check_adapter_shapes(model, folder)
    return _guard(folder, lambda: PeftModel.from_pretrained(model, str(folder))).eval()


def _check_adapter_shapes(model: Any, folder: Path) -> None:
    """Refuse an adapter that was trained on another base, by the shapes of its first factors."""
    from safetensors import SafetensorError, safe_open

    modules = dict(model.named_modules())
    try:
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dict
                name, _, part = key.removeprefix("base_model.model.").partition(".lora_")
                if not part.startswith("A"):
                    continue
                layer = modules.get(name)
                width = getattr(layer, "in_features", None)
                if width != file.get_slice(key).get_shape()[-1]:
                    raise InputError(
                        f"the adapter in {folder} belongs to another base model: its '{name}' takes "
                        f"{file.get_slice(key).get_shape()[-1]} features, this model's {width or 'has no such layer'}"
                    )
    except SafetensorError as error:
        raise InputError(f"the adapter in {folder} is truncated or damaged ({error}): fetch it again") from error
