"""What a folder of safetensors contains, by name and shape, and under which prefix its tensors were saved.

Reads the heads of files only. Knows nothing of models.
"""

from __future__ import annotations

import json
from pathlib import Path

from trued.errors import InputError

PREFIXES = ("_orig_mod.", "module.", "base_model.model.")
"""What torch.compile, DistributedDataParallel and PEFT put before the names of a whole model's weights."""


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a model's weights, in the order of their names.

    Raises:
        InputError: the index of shards is damaged, or names what is no safetensors file in this folder.
    """
    whole = folder / "model.safetensors"
    if whole.is_file():
        return [whole]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index} is no index of shards ({error}): fetch the model again") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(f"{index} names {name!r}, which is no safetensors file beside it: save the model again")
    return [folder / name for name in names]


def shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor, by its name; only the heads of the files are read."""
    from safetensors import safe_open

    result: dict[str, tuple[int, ...]] = {}
    for path in files:
        with safe_open(path, "pt") as file:
            result.update({key: tuple(file.get_slice(key).get_shape()) for key in file.keys()})  # noqa: SIM118
    return result


def wrapper_prefix(names: list[str]) -> str:
    """Return what a wrapper put before all names, such as "module._orig_mod.", or inside one; "" for none.

    A model whose parts were compiled one by one has `_orig_mod.` inside its names.
    """
    result = ""
    while names:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        result += prefix
        names = [name.removeprefix(prefix) for name in names]
    return result or ("_orig_mod." if any("_orig_mod." in name for name in names) else "")
