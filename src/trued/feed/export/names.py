"""A name in its parts, as the formats for citing want it: Ludwig van Beethoven Jr. → family, given, particle, suffix.

Knows the order of names in the literature that arXiv has. Knows nothing of formats. A name of one word is a family
name, and so is a name in a script that sets no blanks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SUFFIX = re.compile(r"(?:jr|sr)\.?|I{2,3}|IV", re.IGNORECASE)


@dataclass(frozen=True)
class Name:
    """The parts of one name; only the family name is always there."""

    family: str
    given: str = ""
    particle: str = ""
    suffix: str = ""

    @property
    def inverted(self) -> str:
        """The name as lists are sorted: van Beethoven, Jr., Ludwig."""
        family = f"{self.particle} {self.family}".strip()
        return ", ".join(part for part in (family, self.suffix, self.given) if part)


def parse_name(text: str) -> Name:
    """Take a name apart, written as "Given van Family Jr." or as "van Family, Jr., Given"."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > 1:
        if len(parts) == 2 and _SUFFIX.fullmatch(parts[1]):
            return parse_name(f"{parts[0]} {parts[1]}")
        particle, family = _family(parts[0].split())
        given, suffix = parts[-1], parts[1] if len(parts) > 2 else ""
        if suffix and _SUFFIX.fullmatch(given):  # Family, Given, Jr.
            given, suffix = suffix, given
        return Name(family, given, particle, suffix)
    words = parts[0].split() if parts else [text.strip()]
    suffix = words.pop() if len(words) > 2 and _SUFFIX.fullmatch(words[-1]) else ""
    start = next((at for at, word in enumerate(words[:-1]) if at and word[:1].islower()), len(words) - 1)
    particle, family = _family(words[start:])
    return Name(family, " ".join(words[:start]), particle, suffix)


def _family(words: list[str]) -> tuple[str, str]:
    """Return the particles at the start, in lower case, and the rest, which is never empty."""
    start = next((at for at, word in enumerate(words) if not word[:1].islower()), len(words) - 1)
    return " ".join(words[:start]), " ".join(words[start:])
