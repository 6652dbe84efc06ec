"""Two rankings of papers fused into one: by words, and by meaning.

Words and meaning count half each: BM25 as a share of the best one's, and the cosine as a share of its way from the last
candidate's to the best one's. Such a convex combination of scores keeps by how much one paper fits better than the
next, which reciprocal ranks drop (Bruch, Gai and Ingber, 2023, arXiv 2210.11934); `benchmarks/paper_search.py` measures
both.
"""

from __future__ import annotations

from collections.abc import Sequence


def fuse(words: Sequence[tuple[int, float]], meaning: Sequence[tuple[int, float]]) -> dict[int, float]:
    """Return item → its score from 0 to 1, out of two rankings of (item, score), each the best first.

    Args:
        words: scores above 0, of which 0 means that nothing fits.
        meaning: cosines; an item that is not among them counts as the last of them. Either ranking may be empty.
    """
    scores: dict[int, float] = {}
    parts = [part for part in (shares(words, 0.0), shares(meaning, meaning[-1][1] if meaning else 0.0)) if part]
    for part in parts:
        for item, share in part.items():
            scores[item] = scores.get(item, 0.0) + share / len(parts)
    return scores


def shares(ranking: Sequence[tuple[int, float]], least: float) -> dict[int, float]:
    """Return item → how far its score lies on the way from `least` to the best score."""
    if not ranking:
        return {}
    way = ranking[0][1] - least
    return {item: (score - least) / way if way > 0 else 1.0 for item, score in ranking}
