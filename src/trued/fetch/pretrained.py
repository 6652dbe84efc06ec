"""The one door to `from_pretrained`: safetensors only, no code of a repository is run, and files are found first.

What comes out has all of its weights: a checkpoint that leaves layers at random, or that holds what the model has no
place for, is refused (`trued.fetch.completeness`).

Knows transformers' and PEFT's classes as arguments. Knows nothing of what a model is for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from trued.errors import InputError
from trued.fetch.completeness import judge_report
from trued.fetch.hub import Files, find_files, reason_of
from trued.fetch.weights import shapes, weight_files, wrapper_prefix

T = TypeVar("T")
_logger = logging.getLogger(__name__)

_SAFE = {"trust_remote_code": False, "local_files_only": True}
_REPORTED = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # misfits are reported, and refused here


def read_model(
    kind: Any,
    source: str | Path | Files,
    *,
    revision: str | None = None,
    unused: str | None = None,
    notes: list[str] | None = None,
    **options: Any,
) -> Any:
    """Build a model from its weights: `kind.from_pretrained`, from safetensors only.

    Args:
        kind: a transformers class such as `AutoModelForCausalLM`.
        source: a folder, a hub id, or files that were found before.
        revision: of a hub id.
        unused: a pattern of weights that the caller does not use, and that may be absent.
        notes: gets a sentence for what was not loaded as it stands in the files. They are logged too.
        options: for `from_pretrained`, such as `dtype`.

    Raises:
        InputError: no such model, a file of it is missing, damaged or pickled, weights are missing or have no place in
            the model, or it needs code of its repository.
    """
    files = source if isinstance(source, Files) else find_files(source, revision=revision)
    files.require("config.json")
    files.require_weights()
    if files.has("adapter_config.json"):
        raise InputError(f"{files.name} holds both a model and an adapter: keep each in a folder of its own")
    saved = guarded(files.name, lambda: shapes(weight_files(files.folder)))
    if prefix := wrapper_prefix(list(saved)):
        raise InputError(
            f"{files.name}: the names of its {len(saved)} weights have the prefix {prefix!r}, of a wrapper around the "
            "model, so that none would be found: save the unwrapped model, or rename them"
        )
    reported = {"use_safetensors": True, **_REPORTED, **_SAFE}
    with _quiet():
        model, report = guarded(files.name, lambda: kind.from_pretrained(str(files.folder), **reported, **options))
    remarks = judge_report(report, model, saved, name=files.name, unused=unused)
    for remark in remarks:
        _logger.warning("%s", remark)
    if notes is not None:
        notes.extend(remarks)
    return model


def read_parts(kind: Any, source: str | Path | Files, *, revision: str | None = None, **options: Any) -> Any:
    """Build what has no weights, such as a tokenizer, a configuration or an image processor.

    Args:
        kind: a transformers class such as `AutoTokenizer`.
        source, revision, options: see `read_model`.

    Raises:
        InputError: see `read_model`.
    """
    files = source if isinstance(source, Files) else find_files(source, revision=revision, weights=False)
    return guarded(files.name, lambda: kind.from_pretrained(str(files.folder), **_SAFE, **options))


def read_gguf(kind: Any, path: Path, **options: Any) -> Any:
    """Build a model from a GGUF file on this machine.

    Raises:
        InputError: the file is damaged, of a kind that transformers does not know, or lacks weights of the model.
    """
    reported = {**_REPORTED, **_SAFE}
    with _quiet():
        model, report = guarded(
            path, lambda: kind.from_pretrained(str(path.parent), gguf_file=path.name, **reported, **options)
        )
    judge_report(report, model, {}, name=str(path))
    return model


def read_gguf_parts(kind: Any, path: Path, **options: Any) -> Any:
    """Build what has no weights, such as a tokenizer, from a GGUF file on this machine.

    Raises:
        InputError: the file is damaged, or of a kind that transformers does not know.
    """
    return guarded(path, lambda: kind.from_pretrained(str(path.parent), gguf_file=path.name, **_SAFE, **options))


def read_adapter_config(files: Files) -> Any:
    """Return an adapter's `PeftConfig`.

    Raises:
        InputError: there is none, or PEFT does not know its kind.
    """
    from peft import PeftConfig

    files.require("adapter_config.json")
    return guarded(files.name, lambda: PeftConfig.from_pretrained(str(files.folder)))


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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        reason = reason_of(error)
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise InputError(
                f"{name} needs code of its own repository, which is never run: choose a model that transformers knows"
            ) from error
        raise InputError(f"{name} could not be loaded: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing a bar, and its table of what it loaded, which is judged here.

    Its messages are filtered: at a higher level of its logger it would check for tensor parallelism, and warn of that.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    table = logging.getLogger("transformers.modeling_utils")
    table.addFilter(_is_error)
    try:
        yield
    finally:
        table.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
