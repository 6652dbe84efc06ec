"""ROUGE-L between short texts, and which of many texts are new (Lin 2004).

Knows words. Knows nothing of what the texts say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from trued.errors import InputError


def words(text: str) -> list[str]:
    """Return the lower-case words of a text, without punctuation."""
    return re.findall(r"\w+", text.lower())


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, in O(len(b)) operations on len(a)-bit integers.

    Bit i of `row` is 0 where the length grows at a[i] (Hyyrö 2004).
    """
    where: dict[str, int] = {}
    for i, word in enumerate(a):
        where[word] = where.get(word, 0) | 1 << i
    every = (1 << len(a)) - 1
    row = every
    for word in b:
        matched = row & where.get(word, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(a) - row.bit_count()


def rouge_l(a: str, b: str) -> float:
    """Return ROUGE-L's F-measure of two texts, 2 LCS / (len(a) + len(b)) in words; 0 if either has none."""
    first, second = words(a), words(b)
    return 2 * common_subsequence(first, second) / (len(first) + len(second)) if first and second else 0.0


def first_of_each(texts: Iterable[str], *, threshold: float = 0.7) -> list[int]:
    """Return the positions of the texts that are at most `threshold` like every text kept before them.

    A pair's longest common subsequence cannot exceed the words that they share, and few pairs share enough to need it.

    Raises:
        InputError: a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}: ROUGE-L lies between 0 and 1")
    kept: list[tuple[int, list[str], Counter[str]]] = []
    for position, text in enumerate(texts):
        own = words(text)
        bag = Counter(own)
        if not any(_alike(own, bag, other, there, threshold) for _, other, there in kept):
            kept.append((position, own, bag))
    return [position for position, _, _ in kept]


def _alike(a: list[str], bag_a: Counter[str], b: list[str], bag_b: Counter[str], threshold: float) -> bool:
    total = len(a) + len(b)
    if not total or 2 * min(len(a), len(b)) <= threshold * total:
        return False
    if 2 * (bag_a & bag_b).total() <= threshold * total:
        return False
    return 2 * common_subsequence(a, b) > threshold * total
