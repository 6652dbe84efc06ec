"""What the store hands out: a paper as it is kept, a hit, what an ingest did, and what people left beside a paper.

Knows values only, all of them frozen. Knows nothing of databases, searching or pages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal

from trued.feed.paper import FeedPaper
from trued.papers.catalogue import State

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[list[str]], "np.ndarray"]  # texts to unit vectors, float32 [texts, dim]
Order = Literal["rank", "new", "trending", "upvotes"]
Nearness = Literal["similarity", "new", "trending"]
Mode = Literal["hybrid", "keyword", "semantic"]
Period = Literal["daily", "weekly"]
SubscriberState = Literal["pending", "active", "gone", "bounced"]
DigestState = Literal["claimed", "sent", "failed"]
Verdicts = Callable[[], Mapping[str, Collection[str]]]  # slug to the verdicts that its claims got

LONGEST_TAG = 64  # characters
OWNER = "owner"  # who uses a store without accounts


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class StoredPaper:
    """A paper as the store keeps it.

    Attributes:
        uid: its number in this store.
        paper: the facts, merged from every source that told of it; `upvotes` and `comments` are the sources' own.
        slug: of the card with the same arXiv id or title, or None.
        first_seen, changed: when it came in, and when its facts last changed, in UTC.
        trending: see `trued.feed.trending.trending`, at the moment of the call.
        votes, remarks: upvotes and comments left in this store.
        day: the latest day whose listing had it, or None.
    """

    uid: int
    paper: FeedPaper
    slug: str | None
    first_seen: datetime
    changed: datetime
    trending: float
    votes: int = 0
    remarks: int = 0
    day: date | None = None

    @property
    def shown(self) -> date | None:
        """The day under which it is shown: of the listing that had it, or of its publication."""
        return self.day or self.paper.published

    @property
    def upvotes(self) -> int:
        """Upvotes of the sources and of this store together."""
        return (self.paper.upvotes or 0) + self.votes

    @property
    def comments(self) -> int:
        """Comments of the sources and of this store together."""
        return (self.paper.comments or 0) + self.remarks


@dataclass(frozen=True)
class Refusal:
    """An entry that did not come in: where it stood, and why."""

    where: str
    why: str


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: tuple[Refusal, ...] = ()

    def __add__(self, other: IngestReport) -> IngestReport:
        """Return both together."""
        return IngestReport(
            self.added + other.added, self.changed + other.changed, self.unchanged + other.unchanged,
            self.refused + other.refused,
        )  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """Which papers count; every filter that is set must match.

    Attributes:
        since, until: first and last day, as `StoredPaper.shown` has it; a paper without a day passes neither.
        field: of the paper's card, such as "vision".
        state: "runs" or "planned", of the paper's card.
        verdict: one that a claim of the paper got, such as "contradicted".
        tag: of the person who asks.
        unread_by: a person who has not marked it as read.
        has_code: a link to code.
        category: of arXiv, such as "cs.CL"; "cs" stands for all that begin so.
        min_upvotes: the sources' and the store's together.
        arrived_since, arrived_before: first and last moment, the second excluded, at which it came into the store.
    """

    since: date | None = None
    until: date | None = None
    field: str | None = None
    state: State | None = None
    verdict: str | None = None
    tag: str | None = None
    unread_by: str | None = None
    has_code: bool = False
    category: str | None = None
    min_upvotes: int | None = None
    arrived_since: datetime | None = None
    arrived_before: datetime | None = None


@dataclass(frozen=True)
class Hit:
    """A paper that was found.

    Attributes:
        score: the higher the better: from 0 to 1 in a search, the cosine in `similar`, the margin in `recommend`.
        keyword_rank, semantic_rank: its place in either list, from 1, or None where it is not among the first 200.
        snippet_html: a passage around the words of the search, escaped, with <mark> around them.
    """

    paper: StoredPaper
    score: float
    keyword_rank: int | None = None
    semantic_rank: int | None = None
    snippet_html: str = ""


@dataclass(frozen=True)
class Comment:
    """A comment on a paper, as it was written; nothing in it is escaped."""

    id: int
    person: str
    text: str
    at: datetime


@dataclass(frozen=True)
class SavedQuery:
    """A search that a person keeps under a name."""

    name: str
    q: str


@dataclass(frozen=True)
class Marks:
    """What one person left beside one paper."""

    voted: bool = False
    bookmarked: bool = False
    read: bool = False
    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Subscriber:
    """An address that requested digests.

    Attributes:
        email: the address, as it is written to.
        period: how often.
        q: the search whose new papers it gets; None: the trending ones.
        state: pending until confirmed, then active; gone once unsubscribed, bounced once refused for good.
        since: when it came into this state; the store sets it where it is None.
        nonce: what a signed token must name to count, so that a new one makes the older ones void.
        reason: why it bounced.
    """

    email: str
    period: Period
    q: str | None = None
    state: SubscriberState = "pending"
    since: datetime | None = None
    nonce: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Digest:
    """One line of the ledger: what became of the digest of one period for one address."""

    email: str
    period_key: str
    state: DigestState
    at: datetime
