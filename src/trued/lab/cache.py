"""A content-addressed disk cache for what experiments compute once: features, answers, small trained models.

Knows JSON values, NumPy arrays, tensors (as safetensors) and folders. Knows nothing of what they mean, and pickles
nothing: loading an entry never runs code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import logging
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trued.files import CACHE, sha256, whole_folder
from trued.lab.dependence import closure, digest_of

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Cache:
    """A folder of entries, each named by the hash of what it was computed from.

    Attributes:
        folder: where the entries lie; made when the first one is written.
    """

    folder: Path

    def cached(self, name: str, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return `fn(*args, **kwargs)`, from disk where it was computed before.

        The key is the SHA-256 of the name, the arguments, the function with the values that it closes over, and the
        digest of all that its module rests on (`trued.lab.dependence.closure`), so that an edit of anything that it
        calls computes it anew. A damaged entry is computed again. Tensors come back on the CPU; a `Path` that is
        returned must be a folder, which is copied into the cache, and the copy's path comes back.

        Args:
            name: says what this is, for people who look at the folder.
            fn: a function whose source is available.
            args, kwargs: JSON values, arrays, tensors, dataclass instances of these.

        Raises:
            TypeError: an argument or the result is of a type that cannot be keyed or stored; it is named.
        """
        key = _digest([name, _source(fn), _canonical([args, kwargs], "argument")])
        entry = self.folder / re.sub(r"[^a-zA-Z0-9_.-]+", "-", name).strip("-.") / key[:32]
        if entry.exists() and not _intact(entry):
            _log.warning("cache entry %s is damaged; it is computed again", entry)
            shutil.rmtree(entry)
        if not entry.exists():
            value = fn(*args, **kwargs)
            with whole_folder(entry, kind=CACHE) as work:
                _write(value, work)
        return _read(entry)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _source(fn: Callable[..., Any]) -> Any:
    """Return what identifies a function: its code, the code that its module rests on, and the values it closes over."""
    try:
        text = inspect.getsource(fn)
    except (TypeError, OSError):
        raise TypeError(f"{fn!r} has no source to key the cache with; wrap it in a function of its own") from None
    try:
        code = digest_of(textwrap.dedent(text))
    except SyntaxError:  # a lambda's line may begin in the middle of an expression
        code = hashlib.sha256(text.encode()).hexdigest()
    closed = inspect.getclosurevars(fn).nonlocals if inspect.isfunction(fn) else {}
    rests_on = closure(fn.__module__).digest
    return [fn.__qualname__, code, rests_on, _canonical(closed, f"closed-over value of {fn.__qualname__}")]


def _canonical(value: Any, what: str) -> Any:
    """Return `value` as JSON that is equal exactly for equal values; arrays become hashes of their bytes."""
    match value:
        case None | bool() | int() | float() | str():
            return [type(value).__name__, repr(value)]  # 1, 1.0 and True are different keys
        case list() | tuple():
            return [type(value).__name__, [_canonical(item, what) for item in value]]
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise TypeError(f"{what}: a dict with keys that are not strings cannot key the cache")
            return ["dict", {key: _canonical(item, what) for key, item in value.items()}]
        case Path():
            return ["path", str(value)]
        case np.ndarray() | np.generic() if value.dtype.kind in "biufc":
            data = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            return ["array", str(value.dtype), list(value.shape), data]
    if _is_tensor(value):
        import torch

        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return ["tensor", str(value.dtype), list(value.shape), hashlib.sha256(data).hexdigest()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return ["dataclass", type(value).__qualname__, _canonical(fields, what)]
    raise TypeError(
        f"{what} of type {type(value).__name__} cannot key the cache; pass what identifies it, such as a name or a path"
    )


def _write(value: Any, folder: Path) -> None:
    """Write an entry: the value's outline in the manifest, arrays and tensors beside it, and every file's hash."""
    arrays: dict[str, np.ndarray] = {}
    tensors: dict[str, Any] = {}
    if isinstance(value, Path):
        if not value.is_dir():
            raise TypeError(f"{value} is not a folder; a cached function may return a folder, and no other path")
        shutil.copytree(value, folder / "folder")
        outline: Any = {"$folder": True}
    else:
        outline = _outline(value, arrays, tensors)
    if arrays:
        from safetensors.numpy import save_file

        save_file(arrays, folder / "arrays.safetensors")
    if tensors:
        from safetensors.torch import save_file

        save_file(tensors, folder / "tensors.safetensors")
    files = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    (folder / _MANIFEST).write_text(json.dumps({"value": outline, "check": _digest(outline), "files": files}))


def _outline(value: Any, arrays: dict[str, np.ndarray], tensors: dict[str, Any]) -> Any:
    """Return `value` as JSON in which each array and tensor is a reference, and put these into the dicts."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [_outline(item, arrays, tensors) for item in value]
        case tuple():
            return {"$tuple": [_outline(item, arrays, tensors) for item in value]}
        case dict() if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _outline(item, arrays, tensors) for key, item in value.items()}
        case np.ndarray() if value.dtype.kind in "biuf":
            arrays[str(len(arrays))] = np.array(value, order="C")
            return {"$array": str(len(arrays) - 1)}
    if _is_tensor(value):
        tensors[str(len(tensors))] = value.detach().cpu().contiguous().clone()  # safetensors refuses shared memory
        return {"$tensor": str(len(tensors) - 1)}
    raise TypeError(
        f"a result of type {type(value).__name__} cannot be cached; return JSON values (dicts with plain string keys), "
        "arrays, tensors or the path of a folder"
    )


def _intact(entry: Path) -> bool:
    try:
        manifest = json.loads((entry / _MANIFEST).read_text())
        whole = manifest["check"] == _digest(manifest["value"])
        return whole and all(sha256(entry / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read(entry: Path) -> Any:
    arrays: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    if (entry / "arrays.safetensors").exists():
        from safetensors.numpy import load_file

        arrays = load_file(entry / "arrays.safetensors")
    if (entry / "tensors.safetensors").exists():
        from safetensors.torch import load_file

        tensors = load_file(entry / "tensors.safetensors")

    def fill(outline: Any) -> Any:
        match outline:
            case list():
                return [fill(item) for item in outline]
            case {"$tuple": items}:
                return tuple(fill(item) for item in items)
            case {"$array": key}:
                return arrays[key]
            case {"$tensor": key}:
                return tensors[key]
            case {"$folder": True}:
                return entry / "folder"
            case dict():
                return {key: fill(item) for key, item in outline.items()}
        return outline

    return fill(json.loads((entry / _MANIFEST).read_text())["value"])


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")
