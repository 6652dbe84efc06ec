"""The one way to a device: a name in, a device of this machine out, or one sentence.

Ask before anything is loaded or trained, so that a mistyped name costs no time.
"""

from __future__ import annotations

import torch

from trued.errors import InputError, nearest


def open_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of that name.

    Args:
        name: such as "cpu", "cuda", "cuda:1" or "mps"; None takes the GPU where there is one, and else the CPU.

    Raises:
        InputError: no device is called that, or this machine has none of that name.
    """
    known = devices()
    if name is None:
        return torch.device("cuda" if "cuda" in known else "cpu")
    text = str(name)
    try:
        device = torch.device(text)
    except (RuntimeError, ValueError):
        raise _absent(text, known) from None
    if device.type not in known or (device.index or 0) >= _count(device.type):
        raise _absent(text, known)
    return device


def devices() -> tuple[str, ...]:
    """Return the names of this machine's devices: "cpu", and "cuda", "cuda:0" and so on where there are GPUs."""
    names = ["cpu"]
    for kind in ("cuda", "xpu", "mps"):
        if _count(kind):
            names += [kind] if kind == "mps" else [kind, *(f"{kind}:{index}" for index in range(_count(kind)))]
    return tuple(names)


def _count(kind: str) -> int:
    """How many devices of a kind this machine has."""
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "xpu":
        return torch.xpu.device_count() if torch.xpu.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return int(kind == "cpu")


def _absent(name: str, known: tuple[str, ...]) -> InputError:
    lacks = " (it has no GPU that PyTorch can use)" if known == ("cpu",) else ""
    return InputError(f"device '{name}' is not on this machine{lacks}: give {' or '.join(known)}{nearest(name, known)}")
