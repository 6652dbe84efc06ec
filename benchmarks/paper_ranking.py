"""How well searching ranks: words, meaning, both by scores and both by ranks, on questions with graded judgements.

    python benchmarks/paper_ranking.py [--page daily-papers.txt] [--no-embedder] [--output FILE]

The questions are `data/paper_questions.toml`; a paper is its title and the summary on its card or, with `--page`, the
abstract in the text of the daily papers' page that the user has (abstracts are not ours to ship). Beside them stand two
kinds of known-item queries that are made, not written: four words of a title, and the middle sentence of the text
without the words of its title. Intervals are paired bootstraps over the questions, 95 %. Exit code 1 if both together
rank the questions worse than either part.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ranking_quality import ndcg, recall, reciprocal_rank

from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore
from trued.feed.search.query import words
from trued.feed.store.merge import title_key
from trued.files import write_text
from trued.learn.statistics import paired_bootstrap
from trued.papers import catalogue

QUESTIONS = Path(__file__).parent / "data" / "paper_questions.toml"
RANK_CONSTANT = 60
Judged = Sequence[tuple[str, Mapping[str, int]]]  # queries, each with slug → grade


def main() -> int:
    parser = argparse.ArgumentParser(description="How well searching ranks, on questions with graded judgements.")
    parser.add_argument("--page", type=Path, help="the page's text, to rank its abstracts in place of our summaries")
    parser.add_argument(
        "--no-embedder", action="store_true", help="judge meaning by TF-IDF, as where there is no model"
    )
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    try:
        report = measure(texts(given.page), embedder=not given.no_embedder)
    except InputError as error:
        print(f"paper_ranking: {error}", file=sys.stderr)
        return 2
    print(describe(report))
    if given.output is not None:
        write_text(given.output, json.dumps(report, indent=1) + "\n")
    scores = report["queries"]["questions"]["ndcg@10"]
    return int(scores["both"] < max(scores["words"], scores["meaning"]))


def texts(page: Path | None) -> dict[str, str]:
    """Return slug → text of each paper that has one."""
    if page is None:
        return {slug: card.summary for slug, card in catalogue.cards().items()}
    from trued.feed.sources.text_page import parse_page

    abstracts = {
        title_key(entry.title): entry.abstract for entry in parse_page(page.read_text(encoding="utf-8")).papers
    }
    return {
        slug: abstracts[title_key(card.title)]
        for slug, card in catalogue.cards().items()
        if title_key(card.title) in abstracts
    }


def measure(of: Mapping[str, str], *, embedder: bool) -> dict[str, Any]:
    """Return every measure of every way to rank, for each kind of query."""
    embed = None
    if embedder:
        from trued.language.engine.embedder import SentenceEmbedder

        embed = SentenceEmbedder.load(dtype="auto")
    store = PaperStore("sqlite://", embed=embed)
    cards = catalogue.cards()
    store.ingest(
        FeedPaper(cards[slug].title, text, cards[slug].arxiv, published=cards[slug].date, source="page")
        for slug, text in of.items()
    )
    store.index()
    kinds = {"questions": questions(of), "title words": title_words(of), "middle sentence": middle_sentences(of)}
    ranked = {kind: [rankings(store, q) for q, _ in judged] for kind, judged in kinds.items()}
    store.close()
    return {
        "papers": len(of),
        "meaning": store.semantics,
        "queries": {kind: scores(ranked[kind], judged) for kind, judged in kinds.items()},
    }


def rankings(store: PaperStore, q: str) -> dict[str, list[str]]:
    """Return the papers' slugs as each way ranks them."""
    ways = {"words": "keyword", "meaning": "semantic", "both": "hybrid"}
    ranked = {way: [str(hit.paper.slug) for hit in store.search(q, mode=mode, k=200)] for way, mode in ways.items()}  # pyright: ignore[reportArgumentType]
    ranks: dict[str, float] = {}
    for way in ("words", "meaning"):
        for rank, slug in enumerate(ranked[way], 1):
            ranks[slug] = ranks.get(slug, 0.0) + 1 / (RANK_CONSTANT + rank)
    return {**ranked, "both, by ranks": sorted(ranks, key=lambda slug: -ranks[slug])}


def scores(ranked: Sequence[Mapping[str, list[str]]], judged: Judged) -> dict[str, Any]:
    """Return measure → way → mean, and how much better both together are than each other way, with its interval."""
    measures = {
        "ndcg@10": lambda ranking, grades: ndcg(ranking, grades, 10),
        "mrr": lambda ranking, grades: reciprocal_rank(ranking, best(grades)),
        "recall@1": lambda ranking, grades: recall(ranking, best(grades), 1),
        "recall@5": lambda ranking, grades: recall(ranking, best(grades), 5),
    }
    values = {
        name: {
            way: [score(by_way[way], grades) for by_way, (_, grades) in zip(ranked, judged, strict=True)]
            for way in ranked[0]
        }
        for name, score in measures.items()
    }
    result: dict[str, Any] = {
        name: {way: float(np.mean(each)) for way, each in ways.items()} for name, ways in values.items()
    }
    result["count"] = len(judged)
    result["gain in ndcg@10"] = {}
    for way, each in values["ndcg@10"].items():
        if way != "both":
            gain = paired_bootstrap(each, values["ndcg@10"]["both"], seed=0)
            result["gain in ndcg@10"][way] = [gain.estimate, gain.low, gain.high]
    return result


def best(grades: Mapping[str, int]) -> set[Any]:
    """Return the papers that are meant: those of the highest grade."""
    return {slug for slug, grade in grades.items() if grade == max(grades.values())}


def questions(of: Mapping[str, str]) -> Judged:
    """Return the written questions that a paper of these answers.

    Raises:
        InputError: the file judges a paper that no card names.
    """
    written = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["questions"]
    if unknown := sorted({slug for grades in written.values() for slug in grades} - set(catalogue.slugs())):
        raise InputError(f"{QUESTIONS.name} judges {unknown[0]!r}, which is no paper's slug: correct it there")
    known = [(q, {slug: grade for slug, grade in grades.items() if slug in of}) for q, grades in written.items()]
    return [(q, grades) for q, grades in known if any(grades.values())]


def title_words(of: Mapping[str, str]) -> Judged:
    """Return four words of each title, in any order."""
    rng, cards = random.Random(0), catalogue.cards()
    titles = {slug: words(cards[slug].title) for slug in of}
    return [(" ".join(rng.sample(title, min(4, len(title)))), {slug: 1}) for slug, title in titles.items()]


def middle_sentences(of: Mapping[str, str]) -> Judged:
    """Return the middle sentence of each text, without the words of its title."""
    judged = []
    for slug, text in of.items():
        sentences = re.split(r"(?<=[.!?])\s+", text)
        title = set(words(catalogue.card(slug).title))
        left = [word for word in words(sentences[len(sentences) // 2]) if word not in title]
        if left:
            judged.append((" ".join(left), {slug: 1}))
    return judged


def describe(report: Mapping[str, Any]) -> str:
    """Return the figures as text for the terminal."""
    lines = [f"{report['papers']} papers, meaning by {report['meaning']}"]
    for kind, result in report["queries"].items():
        lines += ["", f"{kind} ({result['count']})"]
        for way in result["ndcg@10"]:
            figures = "  ".join(
                f"{name} {result[name][way]:.3f}" for name in ("ndcg@10", "mrr", "recall@1", "recall@5")
            )
            gain = result["gain in ndcg@10"].get(way)
            beside = f"  both: {gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}]" if gain else ""
            lines.append(f"  {way:<16} {figures}{beside}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
