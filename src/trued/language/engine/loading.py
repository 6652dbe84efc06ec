"""Find and load a model: a folder, a hub id, an adapter, or the embedded default; safetensors only.

Knows files and transformers, and turns what can go wrong there into one sentence with the remedy. Knows nothing of what
is done with a model: it returns transformers' model and tokenizer, and where they come from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from trued.errors import InputError
from trued.fetch.hub import Files, find_files, missing_weights
from trued.fetch.pretrained import read_adapter_config, read_model
from trued.fetch.vocabulary import fit_vocabulary
from trued.language.engine.adapter_files import read_kind, read_tokenizer
from trued.language.engine.adapter_loading import put_adapter
from trued.language.engine.attention import attention_of
from trued.language.engine.causal import causal_config
from trued.language.engine.embedded import EmbeddedModel, embedded_model
from trued.language.engine.origin import BASE_FILE, Origin
from trued.language.engine.sources import SOURCES
from trued.learn.device import open_device

EMBEDDED = (SOURCES["smollm2"].title, "default")
"""Names of the embedded default model."""


@dataclass(frozen=True)
class LoadedModel:
    """A model as transformers and PEFT made it, its tokenizer, and where they come from."""

    model: Any
    tokenizer: Any
    origin: Origin


def default_dtype(device: str) -> torch.dtype:
    """bfloat16 where the processor or GPU computes in it natively, float32 elsewhere."""
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if device == "cpu" and native else torch.float32


def autocast(device: str | torch.device) -> Literal["no", "bf16"]:
    """Return what float32 weights are trained in on this device: `FitConfig.mixed_precision`."""
    return "bf16" if default_dtype(str(device)) is torch.bfloat16 else "no"


def load_model(
    source: str | Path | None,
    *,
    device: str | None,
    dtype: torch.dtype | Literal["auto"],
    adapter: str | Path | None,
    revision: str | None,
    adapter_revision: str | None,
) -> LoadedModel:
    """Load a model, its adapter and its tokenizer, as `LanguageModel.load` says.

    Raises:
        InputError: see `LanguageModel.load`.
    """
    device = str(open_device(device))
    files, origin, adapter_files = _find(source, adapter, revision, adapter_revision)
    config = None if adapter_files is None else read_kind(adapter_files)
    tokenizer, own_tokenizer = read_tokenizer(files, adapter_files)
    resolved = default_dtype(device) if dtype == "auto" else dtype
    notes: list[str] = []
    attention = attention_of(causal_config(files))
    model = read_model(_auto("AutoModelForCausalLM"), files, dtype=resolved, attn_implementation=attention, notes=notes)
    model = model.to(device).eval()
    model.requires_grad_(False)
    if origin.hub:
        model.name_or_path = model.config.name_or_path = origin.hub
    own = ("tokenizer",) if own_tokenizer else ()
    if adapter_files is not None:
        tokens = 1 + max(tokenizer.get_vocab().values()) if own_tokenizer else 0
        adapted = put_adapter(model, adapter_files, config, tokens=tokens)
        model = adapted.model
        own += ("embeddings",) if adapted.own_embeddings else ()
        notes += adapted.notes
    tokenizer = fit_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0], name=origin.name)
    return LoadedModel(model, tokenizer, replace(origin, own=own, notes=tuple(notes)))


def default_embedded(name: str | Path | None) -> EmbeddedModel | None:
    """Return the embedded default if that is what `name` names: None, "default", or its title."""
    if name is None or name in EMBEDDED:
        return embedded_model()
    if name == EmbeddedModel(Path(), SOURCES["smollm2"], "package").name:
        return embedded_model(origin="package")
    return None


def _auto(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


# -- where the files are -----------------------------------------------------------------------------------------------


def _find(
    source: str | Path | None, adapter: str | Path | None, revision: str | None, adapter_revision: str | None
) -> tuple[Files, Origin, Files | None]:
    """Return the base model's files, its origin, and the adapter's files."""
    if (embedded := default_embedded(source)) is not None:
        if revision is not None:
            raise InputError(f"the default model has no revision {revision}: name a hub id")
        files, origin = Files(embedded.folder), _embedded_origin(embedded)
    else:
        assert source is not None
        files = find_files(source, revision=revision)
        if _is_adapter(files):
            if adapter is not None:
                raise InputError(
                    f"{source} is an adapter, and {adapter} is given beside it: give its base model, or one"
                )
            base, origin = _base_of(files)
            return base, replace(origin, name=str(source), adapter=files.name), files
        files.require("config.json")
        origin = _origin(source, files)
    if adapter is None:
        return files, origin, None
    adapter_files = find_files(adapter, revision=adapter_revision)
    if not adapter_files.has("adapter_config.json"):
        raise InputError(f"{adapter_files.name} has no adapter_config.json: it is not a PEFT adapter")
    return files, replace(origin, adapter=adapter_files.name), adapter_files


def _origin(source: str | Path, files: Files) -> Origin:
    folder = None if files.repo else str(files.folder.resolve())
    return Origin(str(source), hub=files.repo, revision=files.revision, folder=folder)


def _embedded_origin(model: EmbeddedModel) -> Origin:
    return Origin(model.name, hub=model.source.hub, revision=model.revision, quantised=model.quantised)


def _is_adapter(files: Files) -> bool:
    """Whether the files are an adapter's; transformers would put it on its base without PEFT's wrapper.

    Raises:
        InputError: they are a model's too.
    """
    if not files.has("adapter_config.json"):
        return False
    if missing_weights(files.folder) is None:
        raise InputError(
            f"{files.name} holds both a model and an adapter: keep each in a folder of its own, and give the model "
            "and --adapter"
        )
    return True


def _base_of(files: Files) -> tuple[Files, Origin]:
    """Return the files and the origin of the model that an adapter was trained on."""
    config = read_adapter_config(files)
    base = config.base_model_name_or_path
    if not base:
        raise InputError(f"{files.name}: adapter_config.json names no base model: give the base and --adapter")
    embedded = _embedded_base(files, base, config.revision)
    if embedded is not None:
        return Files(embedded.folder), _embedded_origin(embedded)
    try:
        base_files = find_files(base, revision=config.revision)
    except InputError as error:
        raise InputError(f"the base model of the adapter {files.name}: {error}") from error
    if _is_adapter(base_files):
        raise InputError(f"{files.name} is an adapter on {base}, which is an adapter too: merge that one first")
    base_files.require("config.json")
    return base_files, _origin(base, base_files)


def _embedded_base(files: Files, base: str, revision: str | None) -> EmbeddedModel | None:
    """Return the embedded model that an adapter of trued's was trained on, or None if it was another."""
    try:
        facts = json.loads((files.folder / BASE_FILE).read_text(encoding="utf-8"))
        quantised, hub = facts["quantised"], facts["hub"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    source = next((source for source in SOURCES.values() if source.hub == base == hub), None)
    if source is None or source.quantised != quantised:
        return None
    return embedded_model(source.name, origin="package")
