"""Where a model comes from, for reports: what was named, its folder or hub revision, and a hash of its weights.

Knows folders, configurations and manifests. The facts name paths of this machine: they belong in a report that stays
here, and not in evidence.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trued.files import sha256

if TYPE_CHECKING:
    from trued.language.engine.model import LanguageModel

HASHED = 4 * 2**30
"""Bytes; more would take longer to hash than a reader of the report has an interest in."""


def provenance(lm: LanguageModel, source: str | None, adapter: str | Path | None = None) -> dict[str, Any]:
    """Return where a model comes from: what was named, the folder or the hub's revision, and a hash of its weights."""
    config = getattr(lm.model, "config", None)
    place = str(getattr(config, "_name_or_path", "") or source or "")
    revision = getattr(config, "_commit_hash", None)
    facts: dict[str, Any] = {"model": source or lm.name}
    if Path(place).is_dir():
        facts |= {"folder": str(Path(place).resolve()), "weights, SHA-256": _weights_hash(Path(place))}
    elif place and place != facts["model"]:
        facts["loaded as"] = place
    if revision:
        facts["revision on the hub"] = revision
    own = adapter or (source if source and (Path(source) / "adapter_config.json").is_file() else None)
    if own is not None and Path(own).is_dir():
        facts |= {"adapter": str(Path(own).resolve()), "adapter, SHA-256": _weights_hash(Path(own))}
    if (origin := _origin(Path(place))) is not None:
        facts["origin"] = origin
    return facts


def _weights_hash(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    if not files or size > HASHED:
        return f"not computed, {size / 2**30:.1f} GiB" if files else "none"
    digests = [sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _origin(folder: Path) -> str | None:
    """Return what the embedded model's own manifest says of where it came from."""
    for name in ("manifest.json", "trued.json"):
        try:
            return str(json.loads((folder / name).read_text("utf-8"))["origin"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
