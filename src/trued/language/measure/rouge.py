"""ROUGE-L between short texts, and which of many texts are new (Lin 2004).

Knows words. Knows nothing of what the texts say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import LCSseq

from trued.errors import InputError


def words(text: str) -> list[str]:
    """Return the lower-case words of a text, without punctuation."""
    return re.findall(r"\w+", text.lower())


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    return LCSseq.similarity(a, b)


def rouge_l(a: str, b: str) -> float:
    """Return ROUGE-L's F-measure of two texts, 2 LCS / (len(a) + len(b)) in words; 0 if either has none."""
    first, second = words(a), words(b)
    return 2 * common_subsequence(first, second) / (len(first) + len(second)) if first and second else 0.0


def first_of_each(texts: Iterable[str], *, threshold: float = 0.7) -> list[int]:
    """Return the positions of the texts that are at most `threshold` like every text kept before them.

    Raises:
        InputError: a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}: ROUGE-L lies between 0 and 1")
    numbers: dict[str, int] = {}
    new: list[tuple[int, list[int]]] = []
    for position, text in enumerate(texts):
        own = [numbers.setdefault(word, len(numbers)) for word in words(text)]
        if not any(_alike(own, earlier, threshold) for _, earlier in new):
            new.append((position, own))
    return [position for position, _ in new]


def _alike(a: Sequence[int], b: Sequence[int], threshold: float) -> bool:
    total = len(a) + len(b)
    least = threshold * total / 2  # below it rapidfuzz may stop early, and says 0
    return bool(total) and LCSseq.similarity(a, b, score_cutoff=int(least)) > least
