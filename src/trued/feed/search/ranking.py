"""How papers are put in order: two rankings fused into one, and what is trending.

Knows scores, counts and times. Knows nothing of where they come from.

Words and meaning count half each: BM25 as a share of the best one's, and the cosine as a share of its way from the last
candidate's to the best one's. Such a convex combination of scores keeps by how much one paper fits better than the
next, which reciprocal ranks drop (Bruch, Gai and Ingber, 2023, arXiv 2210.11934); `benchmarks/paper_search.py` measures
both.

What is trending at a moment is a sum over a paper's snapshots, each with the upvotes and comments that are new since
the one before,

    trending(now) = Σ (new upvotes + 0.5 · new comments) · exp(−age / 36 h),        age = now − time of the snapshot.

All scores fade at the same rate, so their order does not depend on `now`: the store keeps

    heat = log Σ (new upvotes + 0.5 · new comments) · exp((time − EPOCH) / 36 h)

in an indexed column, and trending(now) = exp(heat − (now − EPOCH) / 36 h).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
FADE = timedelta(hours=36)
COMMENT = 0.5  # of an upvote


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


def heat(snapshots: Iterable[tuple[datetime, int, int]]) -> float | None:
    """Return what is trending of one paper, free of `now`, or None if nothing ever was.

    A count that falls counts as no news, and counts anew only what rises above its highest.

    Args:
        snapshots: (time, upvotes so far, comments so far), in order of time.
    """
    highest_upvotes = highest_comments = 0
    terms = []
    for at, upvotes, comments in snapshots:
        new = max(upvotes - highest_upvotes, 0) + COMMENT * max(comments - highest_comments, 0)
        highest_upvotes, highest_comments = max(highest_upvotes, upvotes), max(highest_comments, comments)
        if new:
            terms.append(math.log(new) + (at - EPOCH) / FADE)
    if not terms:
        return None
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def trending(heat: float | None, now: datetime) -> float:
    """Return the trending score at a moment."""
    return 0.0 if heat is None else math.exp(min(heat - (now - EPOCH) / FADE, 700.0))
