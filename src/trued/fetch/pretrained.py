"""The one door to `from_pretrained`: safetensors only, no code of a repository is run, and files are found first.

Knows transformers' and PEFT's classes as arguments. Knows nothing of what a model is for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from trued.errors import InputError
from trued.fetch.hub import Files, find_files, reason_of

T = TypeVar("T")


def read_model(kind: Any, source: str | Path | Files, *, revision: str | None = None, **options: Any) -> Any:
    """Build a model from its weights: `kind.from_pretrained`, from safetensors only.

    Args:
        kind: a transformers class such as `AutoModelForCausalLM`.
        source: a folder, a hub id, or files that were found before.
        revision: of a hub id.
        options: for `from_pretrained`, such as `dtype`.

    Raises:
        InputError: no such model, a file of it is missing, damaged or pickled, or it needs code of its repository.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for a second's work, which would stand in whatever the caller prints
    files = source if isinstance(source, Files) else find_files(source, revision=revision)
    files.require("config.json")
    files.require_weights()
    safe = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    return guarded(files.name, lambda: kind.from_pretrained(str(files.folder), **safe, **options))


def read_parts(kind: Any, source: str | Path | Files, *, revision: str | None = None, **options: Any) -> Any:
    """Build what has no weights, such as a tokenizer, a configuration or an image processor.

    Args:
        kind: a transformers class such as `AutoTokenizer`.
        source, revision, options: see `read_model`.

    Raises:
        InputError: see `read_model`.
    """
    files = source if isinstance(source, Files) else find_files(source, revision=revision, weights=False)
    safe = {"trust_remote_code": False, "local_files_only": True}
    return guarded(files.name, lambda: kind.from_pretrained(str(files.folder), **safe, **options))


def read_gguf(kind: Any, path: Path, **options: Any) -> Any:
    """Build a model or a tokenizer from a GGUF file on this machine.

    Raises:
        InputError: the file is damaged, or of a kind that transformers does not know.
    """
    safe = {"trust_remote_code": False, "local_files_only": True}
    return guarded(path, lambda: kind.from_pretrained(str(path.parent), gguf_file=path.name, **safe, **options))


def read_adapter_config(files: Files) -> Any:
    """Return an adapter's `PeftConfig`.

    Raises:
        InputError: there is none, or PEFT does not know its kind.
    """
    from peft import PeftConfig

    files.require("adapter_config.json")
    return guarded(files.name, lambda: PeftConfig.from_pretrained(str(files.folder)))


def read_adapter(model: Any, files: Files) -> Any:
    """Put an adapter on a model: `PeftModel.from_pretrained`, from safetensors only.

    Raises:
        InputError: its weights are missing, damaged, pickled, or do not fit the model.
    """
    from peft import PeftModel

    files.require("adapter_config.json", "adapter_model.safetensors")
    return guarded(files.name, lambda: PeftModel.from_pretrained(model, str(files.folder)))


def guarded(name: object, load: Callable[[], T]) -> T:
    """Return what `load` returns; what goes wrong with a model's files becomes one sentence.

    Raises:
        InputError: the files are damaged, do not fit, or need code of the model's repository.
    """
    from safetensors import SafetensorError

    try:
        return load()
    except InputError:
        raise
    except SafetensorError as error:
        raise InputError(f"the weights of {name} are truncated or damaged ({error}): fetch them again") from error
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = reason_of(error)
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise InputError(
                f"{name} needs code of its own repository, which is never run: choose a model that transformers knows"
            ) from error
        raise InputError(f"{name} could not be loaded: {reason}") from error
