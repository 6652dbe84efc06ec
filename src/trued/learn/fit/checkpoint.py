"""A checkpoint is a folder with tensors (safetensors) and a record (JSON), whole or absent, with nothing pickled.

Knows named tensors and JSON values. Knows nothing of models, optimisers or training.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from trued.errors import InputError
from trued.files import CHECKPOINT, sha256, whole_folder
from trued.learn.fit.interrupt import unbroken

FORMAT = 1
_TENSORS = "tensors.safetensors"
_RECORD = "record.json"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_checkpoint(folder: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write a checkpoint, replacing the one at `folder` only when the new one is whole and on the disk.

    Ctrl-C is held back meanwhile.

    Args:
        folder: where the checkpoint goes.
        tensors: by name; any device, written as they are.
        record: values that JSON can hold.

    Raises:
        InputError: the disk is full, or `folder` cannot be written; an earlier checkpoint there is kept.
    """
    try:
        with unbroken(), whole_folder(folder, kind=CHECKPOINT) as work:
            saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(saved, work / _TENSORS)
            whole = {"format": FORMAT, "sha256": sha256(work / _TENSORS), "record": record}
            (work / _RECORD).write_text(json.dumps(whole), encoding="utf-8")
            for name in (_TENSORS, _RECORD):
                os.chmod(work / name, 0o644)
                _sync(work / name)
    except (OSError, SafetensorError) as error:
        remaining = f"the one before it is whole: {folder}" if folder.exists() else "none was written"
        if _disk_is_full(error):
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) / 1e6
            raise InputError(
                f"the disk of {folder.parent} is full: a checkpoint of {size:,.1f} MB did not fit ({remaining}); "
                "make room, or choose another output folder"
            ) from error
        raise InputError(f"the checkpoint {folder} could not be written ({error}; {remaining})") from error


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and verify that its bytes are the ones that were written.

    Args:
        folder: what `write_checkpoint` wrote.

    Returns:
        The tensors by name, on the CPU, and the record.

    Raises:
        InputError: a file is missing, cut off or altered, or the format is another version's.
    """
    try:
        whole = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        version, digest, record = whole["format"], whole["sha256"], whole["record"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, _RECORD, f"cannot be read ({error})") from error
    if version != FORMAT:
        raise InputError(
            f"the checkpoint {folder} has format {version}, this version of trued reads {FORMAT}: "
            "continue with the version that wrote it, or start again without resume"
        )
    try:
        if sha256(folder / _TENSORS) != digest:
            raise _damaged(folder, _TENSORS, "is cut off or altered")
        return load_file(folder / _TENSORS), record
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, _TENSORS, f"cannot be read ({error})") from error


def _damaged(folder: Path, name: str, what: str) -> InputError:
    return InputError(
        f"the checkpoint {folder} is damaged: {name} {what}; delete the folder, or start again without resume"
    )


def _disk_is_full(error: OSError | SafetensorError) -> bool:
    # safetensors writes from Rust and passes the system's error number on in its text only.
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(f"(os error {number})" in str(error) for number in _FULL)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
