"""`trued papers search`, `similar`, `recommend`, `trending`, `tag`, `note`, `index`, `doctor`: the store, asked.

Knows options, how a paper is named, and how a hit is printed. Knows nothing of ranking or databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from trued.cli.options import JsonSwitch, Switch, WholeNumber
from trued.cli.terminal import console, messages, print_json, progress
from trued.errors import InputError, missing_extra
from trued.feed.dates import date_text
from trued.papers import catalogue
from trued.papers.card import Field
from trued.papers.catalogue import State

if TYPE_CHECKING:
    from trued.feed.paper_store import PaperStore
    from trued.feed.store.records import Filters, Hit, StoredPaper
    from trued.language.engine.embedder import SentenceEmbedder

SHORT = 1  # exit code: the store is not sound
LONGEST = 256  # tokens of a paper that its vector is made of, at most
BEGINNING, MANY = 64, 20_000  # tokens of each where so many papers are indexed at once


@Parameter(name="*")
@dataclass(frozen=True)
class Narrowing:
    """Which papers count.

    Parameters
    ----------
    since
        Only papers of this day or later, such as 2025-11-01.
    until
        Only papers of this day or earlier.
    field
        Only papers whose card is of this field.
    state
        Only papers that run here, or only those that are planned.
    verdict
        Only papers of which a claim got this verdict.
    tagged
        Only papers with this tag of yours.
    unread
        Only papers that you have not marked as read.
    has_code
        Only papers that link to their code.
    min_upvotes
        Only papers with at least so many upvotes.
    """

    since: str | None = None
    until: str | None = None
    field: Field | None = None
    state: State | None = None
    verdict: Literal["supported", "contradicted", "inconclusive"] | None = None
    tagged: str | None = None
    unread: Switch = False
    has_code: Switch = False
    min_upvotes: WholeNumber | None = None

    def filters(self) -> Filters:
        """Return the same as the store understands it.

        Raises:
            InputError: a day that is none.
        """
        from trued.feed.spans import read_day
        from trued.feed.store.records import OWNER, Filters

        return Filters(
            since=read_day(self.since, "--since"),
            until=read_day(self.until, "--until"),
            field=self.field,
            state=self.state,
            verdict=self.verdict,
            tag=self.tagged,
            unread_by=OWNER if self.unread else None,
            has_code=self.has_code,
            min_upvotes=self.min_upvotes,
        )


def search(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    mode: Literal["hybrid", "keyword", "semantic"] = "hybrid",
    narrowing: Narrowing = Narrowing(),
    limit: WholeNumber = 10,
    explain: Switch = False,
    as_json: JsonSwitch = False,
) -> None:
    """Find papers by words and by meaning.

    Beside words, a search takes "a phrase", -word, author:, org:, cat:, tag:, year:2024..2025, has:code, is:unread.

    Parameters
    ----------
    words
        What to look for; what is in quotes stays together if the quotes reach trued: '"continuous attack" -image'.
    mode
        By words and meaning, by words alone (at once, no model is loaded), or by meaning alone.
    limit
        How many papers at most.
    explain
        Show each paper's place by words and by meaning.
    """
    from trued.feed.search.query import parse

    q = " ".join(words)
    for sentence in parse(q).ignored:
        messages().print(Text(f"trued: {sentence}", "yellow"))
    filters = narrowing.filters()
    with _store(meaning=explain or mode != "keyword") as store:
        if not store.count():
            raise InputError(
                "the store has no paper yet; `trued papers ingest page` brings some in without a network, "
                "`trued papers sync` fetches today's"
            )
        hits = store.search(q, mode=mode, filters=filters, k=limit, explain=explain)
        note = f"meaning by {store.semantics}" if mode != "keyword" else "by words"
    _print(hits, f"{_count(len(hits))}, {note}", as_json=as_json, explain=explain)


def similar(
    paper: str,
    /,
    *,
    order: Literal["similarity", "new", "trending"] = "similarity",
    limit: WholeNumber = 10,
    as_json: JsonSwitch = False,
) -> None:
    """Show the papers that are nearest in meaning to one.

    Parameters
    ----------
    paper
        Its number, arXiv id, slug or title.
    order
        How to order the nearest.
    limit
        How many papers at most.
    """
    with _store(meaning=True) as store:
        stored = named(store, paper)
        hits = store.similar(stored.uid, limit, order)
        note = f"near {stored.paper.title!r}, meaning by {store.semantics}"
    _print(hits, f"{_count(len(hits))} {note}", as_json=as_json)


def recommend(tag: str, /, *, days: WholeNumber = 30, limit: WholeNumber = 20, as_json: JsonSwitch = False) -> None:
    """Show recent papers like those that bear a tag of yours.

    Parameters
    ----------
    tag
        A tag that at least one paper bears.
    days
        How far back "recent" reaches.
    limit
        How many papers at most.
    """
    from trued.feed.store.records import OWNER

    with _store(meaning=True) as store:
        hits = store.recommend(OWNER, tag, limit, days)
    _print(hits, f"{_count(len(hits))} of the last {days} days, like those tagged {tag!r}", as_json=as_json)


def trending(
    *,
    narrowing: Narrowing = Narrowing(),
    limit: WholeNumber = 10,
    as_json: JsonSwitch = False,
) -> None:
    """Show what is trending: new upvotes, and comments by half, that fade by a factor of e in 36 hours.

    Parameters
    ----------
    limit
        How many papers at most.
    """
    from trued.feed.store.records import Hit

    if limit < 1:
        raise InputError(f"--limit {limit} shows nothing; give at least 1")
    with _store() as store:
        papers, total = store.listing("trending", narrowing.filters(), limit=limit)
    _print([Hit(paper, paper.trending) for paper in papers], f"{len(papers)} of {_count(total)}", as_json=as_json)


def tag(paper: str, tag: str | None = None, /, *, remove: Switch = False, as_json: JsonSwitch = False) -> None:
    """Tag a paper, or show its tags.

    Parameters
    ----------
    paper
        Its number, arXiv id, slug or title.
    tag
        The tag; without one, the paper's tags are shown.
    remove
        Take the tag off.
    """
    from trued.feed.store.records import OWNER

    with _store() as store:
        stored = named(store, paper)
        if tag is not None:
            store.tag(OWNER, stored.uid, tag, not remove)
        elif remove:
            raise InputError("--remove needs the tag that is to come off")
        tags = store.marks(OWNER, [stored.uid])[stored.uid].tags
    if as_json:
        print_json({"number": stored.uid, "title": stored.paper.title, "tags": list(tags)})
    else:
        console().print(Text(f"{stored.uid}  {stored.paper.title}: {', '.join(tags) or 'no tags'}"))


def note(paper: str, text: str | None = None, /, *, remove: Switch = False) -> None:
    """Keep a note on a paper in place of the earlier one, or show it.

    Parameters
    ----------
    paper
        Its number, arXiv id, slug or title.
    text
        The note; without one, the paper's note is shown.
    remove
        Remove the note.
    """
    from trued.feed.store.records import OWNER

    if text is not None and remove:
        raise InputError("a text and --remove exclude each other; give one of them")
    with _store() as store:
        stored = named(store, paper)
        if text is not None or remove:
            store.note(OWNER, stored.uid, text or "")
        saved = store.note_of(OWNER, stored.uid)
    console().print(Text(saved or f"no note on {stored.paper.title!r}"))


def index(*, tokens: WholeNumber | None = None) -> None:
    """Bring the vectors that meaning is judged by up to date; what was done stays done after a Ctrl-C.

    Parameters
    ----------
    tokens
        How many tokens of each paper are read: by default 256, which is nearly every abstract whole, and 64 where more
        than 20,000 papers are indexed at once, in a third of the time. Both rankings together stay as good, but what
        is said late in an abstract is then found by its words alone.
    """
    if tokens is not None and not 3 <= tokens <= LONGEST:
        raise InputError(f"--tokens {tokens}: give 3 to {LONGEST}")
    with _store() as store, progress() as display:
        store.embed = embedder = _embedder(tokens or LONGEST) if store.count() else None
        if tokens is None and embedder is not None and (waiting := store.unindexed()) > MANY:
            embedder.longest = BEGINNING
            messages().print(
                f"{waiting:,} papers at once: the first {BEGINNING} tokens of each are read "
                f"(--tokens {LONGEST} reads them whole, in three times the time)"
            )
        task = display.add_task("indexing", total=None)
        done = store.index(lambda done, total: display.update(task, completed=done, total=total))
        print(f"{_count(done)} indexed, {store.semantics}")


def doctor(*, as_json: JsonSwitch = False) -> int:
    """Check that the store is sound; exit code 1 if it is not."""
    with _store() as store:
        findings = store.doctor()
        count = store.count()
    if as_json:
        print_json({"papers": count, "findings": findings})
    else:
        out = console()
        for finding in findings:
            out.print(Text(f"- {finding}"))
        out.print(Text(f"{_count(count)}, {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}"))
    return SHORT if findings else 0


def named(store: PaperStore, name: str) -> StoredPaper:
    """Return the paper that is called so: by its number, arXiv id, slug or title.

    Raises:
        InputError: there is none; the message offers the nearest titles.
    """
    name = name.strip()
    if re.fullmatch(r"\d{1,9}", name):
        return store.get(int(name))
    if name in catalogue.slugs():
        card = catalogue.card(name)
        stored = store.find(arxiv=card.arxiv, title=card.title)
    else:
        stored = store.find(arxiv=re.sub(r"v\d+$", "", name), title=name)
    if stored is None:
        near = ", ".join(
            f"{hit.paper.uid} ({hit.paper.paper.title})" for hit in store.search(name, mode="keyword", k=3)
        )
        hint = f"; nearest are {near}" if near else "; `trued papers search` finds its number"
        raise InputError(f"no paper of the store has the number, arXiv id, slug or title {name!r}{hint}")
    return stored


@contextmanager
def _store(*, meaning: bool = False) -> Iterator[PaperStore]:
    """Yield the user's store; with `meaning`, one that has the embedder, if that is available."""
    from trued.feed.paper_store import default_store
    from trued.lab.measured import CommittedEvidence

    store = default_store(verdicts=lambda: CommittedEvidence().verdicts())
    try:
        if meaning and store.count():
            store.embed = _embedder(LONGEST)
        yield store
    finally:
        store.close()


def _embedder(tokens: int) -> SentenceEmbedder | None:
    """Return the sentence embedder, or None with a message if it is not available."""
    try:
        from trued.language.engine.embedder import SentenceEmbedder

        return SentenceEmbedder.load(dtype="auto", longest=tokens)
    except (InputError, ImportError) as error:
        reason = missing_extra(error) or error
        messages().print(
            Text(f"trued: meaning is judged by TF-IDF, since the embedder is not available: {reason}", "dim")
        )
        return None


def _print(hits: Sequence[Hit], summary: str, *, as_json: bool, explain: bool = False) -> None:
    if as_json:
        print_json([_as_dict(hit) for hit in hits])
        return
    out = console()
    width = max((len(str(hit.paper.uid)) for hit in hits), default=1)
    for hit in hits:
        _print_hit(out, hit, width, explain)
    out.print(Text(summary, "dim"))


def _print_hit(out: Console, hit: Hit, width: int, explain: bool) -> None:
    title = Text.assemble((f"{hit.paper.uid:>{width}}", "dim"), "  ", (hit.paper.paper.title, "bold"))
    out.print(title)
    for line in (Text(" · ".join(_facts(hit.paper)), "dim"), _marked(hit.snippet_html)):
        if line.plain:
            out.print(Padding(line, (0, 0, 0, width + 2)))
    if explain:
        ranks = (("words", hit.keyword_rank), ("meaning", hit.semantic_rank))
        parts = [f"{name} {rank}" if rank else f"not by {name}" for name, rank in ranks]
        out.print(Padding(Text(f"{', '.join(parts)}, score {hit.score:.3f}", "dim"), (0, 0, 0, width + 2)))
    out.print()


def _facts(paper: StoredPaper) -> list[str]:
    feed_paper = paper.paper
    facts = [
        _date(paper),
        f"arXiv {feed_paper.arxiv}" if feed_paper.arxiv else "",
        _plural(paper.upvotes, "upvote"),
        _plural(paper.comments, "comment"),
        f"trending {paper.trending:.2g}" if paper.trending >= 0.005 else "",
    ]
    if paper.slug:
        runs = catalogue.state(paper.slug) == "runs"
        facts.append(f"trued run {paper.slug}" if runs else f"{paper.slug}, planned")
    return [fact for fact in facts if fact]


def _date(paper: StoredPaper) -> str:
    """Return the day whose listing had it, or what is known of the day of its publication."""
    return paper.day.isoformat() if paper.day else date_text(paper.paper)


def _marked(html: str) -> Text:
    """Return a snippet for the terminal: its marks in bold."""
    parts = re.split(r"<mark>(.*?)</mark>", html)
    return Text.assemble(*((unescape(part), "bold" if i % 2 else "") for i, part in enumerate(parts) if part))


def _as_dict(hit: Hit) -> dict[str, Any]:
    paper = hit.paper.paper
    return {
        "number": hit.paper.uid,
        "title": paper.title,
        "arxiv": paper.arxiv,
        "slug": hit.paper.slug,
        "date": _date(hit.paper) or None,
        "upvotes": hit.paper.upvotes,
        "comments": hit.paper.comments,
        "trending": hit.paper.trending,
        "score": hit.score,
        "keyword_rank": hit.keyword_rank,
        "semantic_rank": hit.semantic_rank,
        "snippet_html": hit.snippet_html,
    }


def _count(papers: int) -> str:
    return f"{papers:,} paper{'' if papers == 1 else 's'}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if count else ""
