"""Which papers a feed, a digest or an export contains: a search or a listing, filtered, in an order, and cut.

Knows searches, filters and orders. Knows nothing of what is made of the papers.

A search on the page may be generous: it ranks, and a person looks at the first few. A feed and an alert can't be; they
would bring something every day. So here, unless another mode is set, every word has to occur.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from trued.feed.search.query import parse
from trued.feed.store.records import OWNER, Filters, Mode, Order, StoredPaper

if TYPE_CHECKING:
    from trued.feed.paper_store import PaperStore

Match = Literal["all", "keyword", "hybrid", "semantic"]
Sorting = Literal["new", "trending", "upvotes", "rank", "relevance"]
WORDS: dict[Sorting, str] = {
    "new": "newest first", "trending": "trending", "upvotes": "most upvoted first", "rank": "in the page's order",
    "relevance": "best match first",
}  # fmt: skip
_PAGE = 200  # papers that are read from the store at once
MOST_FOUND = 400  # papers that a search ranks


@dataclass(frozen=True)
class Selection:
    """A choice of papers.

    Args:
        q: a search; without one, all papers.
        order: "relevance" is the search's own; without a search it is "new".
        mode: "all" finds papers that contain every word of the search; the others are those of `PaperStore.search`.
        limit: how many at most; None: all of them, and of a search as many as it ranks, which is 400.
        person: whose tags and marks a search or a filter means.
    """

    q: str = ""
    order: Sorting = "new"
    mode: Match = "all"
    filters: Filters = field(default_factory=Filters)
    limit: int | None = 50
    person: str = OWNER

    @property
    def title(self) -> str:
        """The title of the feed or digest."""
        return f"Daily papers: {self.q.strip()}" if self.q.strip() else f"Daily papers, {WORDS[self._listing()]}"

    @property
    def grows_by_changes(self) -> bool:
        """True if its contents change only when one of its papers does, so that the latest change dates the whole.

        An old paper that gets its hundredth upvote comes in without any change of its own.
        """
        filters = self.filters
        moved = filters.min_upvotes, filters.verdict, filters.state, filters.tag, filters.unread_by
        return self.order == "new" and self.mode in ("all", "keyword") and moved == (None,) * len(moved)

    def papers(self, store: PaperStore) -> list[StoredPaper]:
        """Return the papers, in order."""
        return self._search_results(store) if self.q.strip() else self._listed(store)

    def _search_results(self, store: PaperStore) -> list[StoredPaper]:
        q = every_word(self.q) if self.mode == "all" else self.q
        mode: Mode = "keyword" if self.mode == "all" else self.mode
        k = self.limit if self.order == "relevance" and self.limit is not None else MOST_FOUND
        papers = [hit.paper for hit in store.search(q, mode=mode, filters=self.filters, k=k, person=self.person)]
        if self.order != "relevance":
            papers.sort(key=_KEYS[self.order])
        return papers[: self.limit]

    def _listed(self, store: PaperStore) -> list[StoredPaper]:
        papers: list[StoredPaper] = []
        while self.limit is None or len(papers) < self.limit:
            size = _PAGE if self.limit is None else min(_PAGE, self.limit - len(papers))
            page, _ = store.listing(self._listing(), self.filters, offset=len(papers), limit=size, person=self.person)
            papers += page
            if len(page) < size:
                break
        return papers

    def _listing(self) -> Order:
        return "new" if self.order == "relevance" else self.order


def every_word(q: str) -> str:
    """Return the search that wants every word of `q`: each one becomes a phrase, which must occur.

    A word with a * at its end is left as it is: it finds and ranks, and need not occur beside others that must.
    Exclusions and fields stay what they are.
    """
    query = parse(q)
    parts = [str(term) if term.prefix else f'"{term}"' for term in query.terms]
    parts += [f'"{phrase}"' for phrase in query.phrases]
    parts += [f'-"{term}"' for term in query.excluded]
    parts += [f'{"-" * clause.negated}{clause.name}:"{clause.value}"' for clause in query.clauses]
    return " ".join(parts)


def _newest(stored: StoredPaper) -> tuple[Any, ...]:
    return (-(stored.shown or date.min).toordinal(), -stored.uid)


_KEYS: dict[Sorting, Callable[[StoredPaper], tuple[Any, ...]]] = {
    "new": _newest,
    "trending": lambda stored: (-stored.trending, *_newest(stored)),
    "upvotes": lambda stored: (-stored.upvotes, *_newest(stored)),
    "rank": lambda stored: (stored.paper.rank is None, stored.paper.rank or 0, *_newest(stored)),
}
