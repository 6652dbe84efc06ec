"""How a text is varied without changing what it says: by a model, by synonyms, or not at all.

Knows texts, random choices and an attacker. Knows nothing of what the texts are for or how well they do.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from trued.data.prompts import SHIPPED
from trued.data.rows import read_rows
from trued.errors import InputError
from trued.language.attack.attacker import Attacker

_FILE = SHIPPED / "synonyms.jsonl"
_WORD = re.compile(r"[A-Za-z]+")
_REVISION = re.compile(r"<text>(.*?)(?:</text>|\Z)", re.DOTALL | re.IGNORECASE)


class Mutator(Protocol):
    """Varies texts; the same `rng` gives the same variants."""

    @property
    def name(self) -> str: ...

    def mutate(self, texts: Sequence[str], rng: random.Random) -> list[str]: ...


@dataclass(frozen=True)
class IdentityMutator:
    """Leaves every text as it is: the ablation."""

    @property
    def name(self) -> str:
        return "identity"

    def mutate(self, texts: Sequence[str], rng: random.Random) -> list[str]:
        return list(texts)


@dataclass(frozen=True)
class SynonymMutator:
    """Replaces words by synonyms from the shipped table.

    Args:
        rate: probability that a word with synonyms is replaced.
    """

    rate: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise InputError(f"rate is {self.rate}; it is a probability above 0, at most 1")

    @property
    def name(self) -> str:
        return f"synonyms, rate {self.rate:g}"

    def mutate(self, texts: Sequence[str], rng: random.Random) -> list[str]:
        def vary(match: re.Match[str]) -> str:
            others = synonyms(match[0])
            return cased(rng.choice(others), match[0]) if others and rng.random() < self.rate else match[0]

        return [_WORD.sub(vary, text) for text in texts]


@dataclass(frozen=True)
class ModelMutator:
    """Has an attacker model paraphrase each text; one that it does not return readably stays as it is."""

    attacker: Attacker

    @property
    def name(self) -> str:
        return f"paraphrase by {self.attacker.name}"

    def mutate(self, texts: Sequence[str], rng: random.Random) -> list[str]:
        prompts = [
            "Put the following text into other words without changing what it says, its length or its person. Keep "
            f"every name. Reply with the new text between <text> and </text>.\n\n{text}"
            for text in texts
        ]
        rewrites, _ = self.attacker.write_until(prompts, _read, seed=rng.getrandbits(30))
        return [new if new is not None else old for new, old in zip(rewrites, texts, strict=True)]


def synonyms(word: str) -> tuple[str, ...]:
    """Return the synonyms of a word, lower case, without itself; none for a word that the table does not have."""
    return _table().get(word.casefold(), ())


def cased(word: str, pattern: str) -> str:
    """Return `word` with the capitals of `pattern`: all, the first, or none."""
    if pattern.isupper() and len(pattern) > 1:
        return word.upper()
    return word.capitalize() if pattern[:1].isupper() else word


@cache
def _table() -> dict[str, tuple[str, ...]]:
    groups = [row["words"] for row in read_rows(_FILE, columns={"words": "texts"})]
    return {word: tuple(other for other in group if other != word) for group in groups for word in group}


def _read(reply: str) -> str | None:
    match = _REVISION.search(reply)
    return (match[1].strip() or None) if match else None
