"""From a title to the paper: by the cards, offline; or by arXiv and Hugging Face, and only where there is no doubt.

A title that is contained in another one is not the same title: both the words and their number have to agree.

Knows titles and how alike they are. Knows nothing of stores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import cache

from rapidfuzz import fuzz

from trued.errors import InputError
from trued.feed.http.client import HF_URL, Client, FetchError, base_url, default_client
from trued.feed.paper import FeedPaper
from trued.feed.sources.daily_json import parse_daily_json
from trued.feed.sources.online import fetch_arxiv
from trued.feed.store.merge import title_key
from trued.papers import catalogue

_ALIKE = 95.0  # of 100, words as a set, in any order
_WHOLE = 90.0  # of 100, letter by letter: so that no title passes that only contains the other
_MOST_WORDS = 10  # of a title, in one query
# Words that hardly tell one title from another.
_COMMON = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "how", "in", "into", "is",
    "it", "its", "not", "of", "on", "or", "that", "the", "their", "this", "to", "toward", "towards", "using", "via",
    "we", "what", "when", "with", "without",
})  # fmt: skip


def identify(papers: Iterable[FeedPaper]) -> tuple[FeedPaper, ...]:
    """Return the papers, those that have a card's title and no arXiv id with the card's."""
    return tuple(
        paper if paper.arxiv or (known := _cards().get(title_key(paper.title))) is None else replace(paper, arxiv=known)
        for paper in papers
    )


def resolve_title(title: str, *, client: Client | None = None, published: date | None = None) -> FeedPaper | None:
    """Return the arXiv paper that has this title, or None if there is none or more than one.

    Args:
        published: the day of its first version, where it is known: it settles which of several papers is meant.

    Raises:
        InputError: the title has no words, or nobody could be asked.
    """
    words = title_key(title).split()
    if not words:
        raise InputError(f"the title {title!r} has no words to look for")
    client = client or default_client()
    failure: FetchError | None = None
    for ask in (_ask_arxiv, _ask_hugging_face):
        try:
            paper = choose(title, ask(words, client), published)
        except FetchError as error:
            failure = failure or error
            continue
        if paper is not None:
            return paper
    if failure is not None:
        raise failure
    return None


def choose(title: str, candidates: Iterable[FeedPaper], published: date | None = None) -> FeedPaper | None:
    """Return the one candidate with an arXiv id that has this title, or None; never the best of several.

    The same title letter by letter comes before one that is nearly the same.
    """
    key = title_key(title)
    exact: dict[str, FeedPaper] = {}
    near: dict[str, FeedPaper] = {}
    for paper in candidates:
        if paper.arxiv is None:
            continue
        other = title_key(paper.title)
        if other == key:
            exact[paper.arxiv] = paper
        elif fuzz.token_set_ratio(key, other) >= _ALIKE and fuzz.ratio(key, other) >= _WHOLE:
            near[paper.arxiv] = paper
    for matches in (exact, near):
        if len(matches) > 1 and published is not None:
            matches = {identity: paper for identity, paper in matches.items() if paper.published == published}
        if matches:
            return next(iter(matches.values())) if len(matches) == 1 else None
    return None


def _ask_arxiv(words: list[str], client: Client) -> Iterable[FeedPaper]:
    telling = [word for word in words if word not in _COMMON and len(word) > 1] or words
    query = " AND ".join(f"ti:{word}" for word in telling[:_MOST_WORDS])
    return fetch_arxiv(query, limit=25, sort="relevance", client=client).papers


def _ask_hugging_face(words: list[str], client: Client) -> Iterable[FeedPaper]:
    base = base_url("TRUED_HF_URL", HF_URL)
    answer = client.get(f"{base}/api/papers/search", {"q": " ".join(words), "limit": 20}, accept="application/json")
    return parse_daily_json(answer.content).papers


@cache
def _cards() -> dict[str, str]:
    return {title_key(card.title): card.arxiv for card in catalogue.cards().values() if card.arxiv}
