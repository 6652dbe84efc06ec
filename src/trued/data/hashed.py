"""A number that belongs to a text: what is split by it does not depend on what else is split, or on the machine."""

from __future__ import annotations

import hashlib


def hashed_share(text: str) -> float:
    """Return a number from 0 up to 1, by the first 8 bytes of the text's SHA-256; over many texts it is uniform."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
