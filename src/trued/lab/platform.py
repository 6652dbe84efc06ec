"""Which software and which kind of machine took a measurement, and how much memory it used.

Knows versions, processor features and memory counters. Records no host name, user name or path.
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("trued", "torch", "transformers", "peft", "accelerate", "numpy")
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")  # those that decide speed and rounding


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result may depend on, without importing them."""
    result = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            if package == "trued":
                from trued import __version__

                result[package] = __version__
    return result


def machine() -> dict[str, Any]:
    """Return the kind of machine: system, architecture, processors, features that matter, accelerator."""
    result: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": _cpus(),
        "features": _features(),
    }
    cuda = _cuda()
    if cuda is not None:
        result["accelerator"] = cuda.get_device_name()
    return result


def peak_bytes() -> int:
    """Return the peak memory of this process so far, in bytes, the accelerator's included; 0 where it is unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cuda = _cuda()
    return peak + (cuda.max_memory_allocated() if cuda is not None else 0)


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _features() -> list[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return []
    lines = (line for line in info.read_text().splitlines() if line.lower().startswith(("flags", "features")))
    flags = set(next(lines, "").partition(":")[2].split())
    return [name for name in _FEATURES if name in flags]


def _cuda() -> Any:
    """Return `torch.cuda` if this process has used an accelerator; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None
