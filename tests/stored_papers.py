"""Papers as a store hands them out, made from a few words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.store.records import StoredPaper

MOMENT = datetime(2026, 11, 24, 9, 30, 15, 250_000, tzinfo=UTC)


def stored(
    title: str = "A Small Paper", *names: str, uid: int = 1, slug: str | None = None, changed: datetime = MOMENT,
    trending: float = 0.0, votes: int = 0, day: date | None = None, **facts: Any,
) -> StoredPaper:  # fmt: skip
    """Return a paper with these authors."""
    facts.setdefault("authors", tuple(Author(name) for name in names))
    return StoredPaper(uid, FeedPaper(title, **facts), slug, MOMENT, changed, trending, votes, day=day)


def sample_papers() -> list[StoredPaper]:
    """Return four papers: a preprint, an article, one with a hidden author, one that is hardly known."""
    return [
        stored(
            "Efficient Training in LLMs with Continuous Attacks", "Sophie Xhonneux", "Leo Schwinn", uid=1,
            arxiv="2405.15589", published=date(2024, 5, 24), abstract="Attacks at 50% of the cost & more.",
            categories=("cs.LG", "cs.CR"), links=(Link("https://github.com/a/b", "code"),), slug="c-advul", upvotes=12,
            comments=2,
        ),
        stored(
            "On the Electrodynamics of Moving Bodies", "Ludwig van der Berg Jr.", "Ada Lovelace", uid=2,
            doi="10.1000/xyz_1(2)", journal="Annals of Physics 17 (1905)", published=date(2024, 1, 1),
        ),
        stored(
            "Masked Work", uid=3, arxiv="hep-th/9901001", published=date(1999, 1, 2),
            authors=(Author("Jane Roe"), Author("Secret Person", hidden=True)),
        ),
        stored("Nothing Known", uid=4, organization="Kling Team"),
    ]  # fmt: skip
