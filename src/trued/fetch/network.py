"""Whether the network may be used: `TRUED_OFFLINE` forbids it, `HF_HUB_OFFLINE` forbids the Hugging Face hub."""

from __future__ import annotations

import os

_YES = ("1", "on", "true", "yes")


def offline() -> str | None:
    """Return the setting that forbids every download, such as "TRUED_OFFLINE=1", or None where it is allowed."""
    return _switched_on("TRUED_OFFLINE")


def hub_offline() -> str | None:
    """Return the setting that forbids the Hugging Face hub, or None where it may be reached."""
    return _switched_on("TRUED_OFFLINE") or _switched_on("HF_HUB_OFFLINE") or _switched_on("TRANSFORMERS_OFFLINE")


def _switched_on(variable: str) -> str | None:
    value = os.environ.get(variable, "").strip()
    return f"{variable}={value}" if value.lower() in _YES else None
