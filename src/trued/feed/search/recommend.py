"""What a tag means, learnt from the papers that bear it: a linear support vector machine on words and embeddings.

Knows numbers of papers and their vectors. Knows nothing of people or databases. The idea, and the choice of model, are
arxiv-sanity-lite's (MIT): tagged papers against all others, both classes with equal weight.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from trued.feed.search.embeddings import Embeddings
from trued.feed.search.terms import Terms

MOST_OTHERS = 5_000  # papers that stand for all that bear no tag
C = 0.01  # of the support vector machine, as arxiv-sanity-lite has it


def sample(uids: Sequence[int], tagged: set[int]) -> list[int]:
    """Return papers without the tag, at most `MOST_OTHERS`, the same ones for the same store."""
    others = [uid for uid in uids if uid not in tagged]
    return others if len(others) <= MOST_OTHERS else sorted(random.Random(0).sample(others, MOST_OTHERS))


def rank(
    tagged: Sequence[int],
    others: Sequence[int],
    candidates: Sequence[int],
    terms: Terms,
    vectors: Embeddings | None,
) -> list[tuple[int, float]]:
    """Return the candidates with their distance to the separating plane, those most like the tagged ones first.

    Args:
        tagged: papers that bear the tag, at least one.
        others: papers that don't.
        candidates: papers to put in order.
        terms, vectors: what the papers are seen by; without an embedder, words alone.
    """
    from scipy import sparse
    from sklearn.svm import LinearSVC

    if not candidates or not others:
        return [(uid, 0.0) for uid in candidates]

    def seen(uids: Sequence[int]) -> Any:
        parts = [terms.matrix_of(uids)]
        if vectors is not None:
            parts.append(sparse.csr_matrix(vectors.matrix_of(uids)))
        return sparse.hstack(parts, format="csr")

    labels = np.array([1] * len(tagged) + [0] * len(others))
    model = LinearSVC(C=C, class_weight="balanced", random_state=0).fit(seen([*tagged, *others]), labels)
    margins = model.decision_function(seen(candidates))
    order = sorted(range(len(candidates)), key=lambda i: (-margins[i], candidates[i]))
    return [(candidates[i], float(margins[i])) for i in order]
