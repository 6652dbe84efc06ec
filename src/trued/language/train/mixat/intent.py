"""Whether a rewrite still asks for the same thing; where it does not, the request itself takes its place.

An attacker model that writes the rewrites may decline, or write about something else: training on that would teach
refusals of harmless texts. Knows texts. Knows nothing of who rewrote them or what for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trued.errors import InputError
from trued.language.judge.refusals import RefusalClass, refusal_class

Similarity = Callable[[Sequence[str], Sequence[str]], Sequence[float]]

_STEM = 5  # letters by which "poison" and "poisoning" are the same word
_FUNCTION_WORDS = (
    "about after also although because been being best could does doing done easiest even every explain from give "
    "have here into just like make more most much must need only over please same should some such tell than that "
    "their them then there these they thing this those through want what when where which while will with without "
    "would write your"
)


def kept_words(requests: Sequence[str], rewrites: Sequence[str]) -> list[float]:
    """Return the share of each request's content words, by their first letters, that its rewrite still has.

    1 for a request without any. It needs no model; a good paraphrase keeps few of them, so with an attacker model
    `cosine_by` is the better judge.
    """
    shares = []
    for request, rewrite in zip(requests, rewrites, strict=True):
        wanted, there = _stems(request), _stems(rewrite)
        shares.append(len(wanted & there) / len(wanted) if wanted else 1.0)
    return shares


def cosine_by(embed: Callable[[Sequence[str]], Any]) -> Similarity:
    """Return the similarity by sentence embeddings, such as `trued.language.engine.embedder.SentenceEmbedder`."""

    def cosine(requests: Sequence[str], rewrites: Sequence[str]) -> list[float]:
        a, b = (np.asarray(embed(list(texts)), dtype=np.float64) for texts in (requests, rewrites))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return ((a * b).sum(1) / np.maximum(norms, 1e-12)).tolist()

    return cosine


@dataclass(frozen=True)
class Filtered:
    """Texts to train on, and which of them fell back to the request because the rewrite had lost it."""

    texts: list[str]
    lost: list[bool]


@dataclass(frozen=True)
class IntentFilter:
    """A rewrite is kept if it has any text, is no full refusal, and is similar enough to the request.

    A refusal phrase further on is none of the attacker's: frames that press for an answer use some.

    Args:
        tau: least similarity.
        similarity: of requests and rewrites; one number a pair.
    """

    tau: float = 0.3
    similarity: Similarity = kept_words

    def __post_init__(self) -> None:
        if not -1 <= self.tau <= 1:
            raise InputError(f"tau is {self.tau}; a similarity lies between -1 and 1")

    def __call__(self, requests: Sequence[str], rewrites: Sequence[str]) -> Filtered:
        """Return the rewrites, with the request in place of each that lost it.

        Raises:
            InputError: as many rewrites as requests are needed.
        """
        if len(requests) != len(rewrites):
            raise InputError(f"the rewriter returned {len(rewrites)} texts for {len(requests)} requests: one for each")
        empty = [not rewrite.strip() for rewrite in rewrites]
        # A similarity need not be defined for an empty text.
        written = [x if nothing else y for x, y, nothing in zip(requests, rewrites, empty, strict=True)]
        near = self.similarity(requests, written)
        declined = [refusal_class(rewrite) is RefusalClass.FULL_REFUSAL for rewrite in written]
        lost = [nothing or score < self.tau or no for nothing, score, no in zip(empty, near, declined, strict=True)]
        texts = [x if gone else y for x, y, gone in zip(requests, rewrites, lost, strict=True)]
        return Filtered(texts, lost)


def _stems(text: str) -> set[str]:
    words = re.findall(r"[^\W\d_]{4,}", text.casefold())
    return {word[:_STEM] for word in words if word not in _FUNCTION_WORDS.split()}
