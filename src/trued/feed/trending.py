"""What is trending: a sum over a paper's snapshots, each with upvotes and comments that are new since the one before.

    trending(now) = Σ (new upvotes + 0.5 · new comments) · exp(−age / 36 h),        age = now − time of the snapshot.

All scores fade at the same rate, so their order does not depend on `now`: the store keeps

    heat = log Σ (new upvotes + 0.5 · new comments) · exp((time − EPOCH) / 36 h)

in an indexed column, and trending(now) = exp(heat − (now − EPOCH) / 36 h).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
FADE = timedelta(hours=36)
COMMENT = 0.5  # of an upvote


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
