"""A tag learns its topic from a few papers, on words alone and with embeddings, and leaves out what bears it."""

from datetime import date

import numpy as np
import pytest

from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.search import recommend

TOPICS = ("adversarial attack robust jailbreak", "image diffusion pixels render", "speech audio voice phoneme")


def papers():
    rng = np.random.default_rng(0)
    for n in range(60):
        words = rng.choice(TOPICS[n % 3].split(), 12)
        common = rng.choice(["model", "data", "method", "result", "training"], 8)
        day = date(2025, 12, 1 + n % 9) if n >= 15 else date(2025, 6, 1)
        yield FeedPaper(f"Paper {n}", " ".join([*words, *common]), published=day, source="page")


@pytest.mark.parametrize("meaning", [False, True])
def test_recent_papers_of_the_topic_come_first(store, embedder, meaning):
    store.ingest(papers())
    if meaning:
        store.embed = embedder
    for uid in (1, 4, 16, 19):  # topic 0
        store.tag("owner", uid, "Safety")
    store.tag("other", 2, "safety")
    hits = store.recommend("owner", "safety", k=13, days=30)
    uids = [hit.paper.uid for hit in hits]
    assert {(uid - 1) % 3 for uid in uids} == {0}
    assert not {1, 4, 16, 19} & set(uids)
    assert min(uids) > 15  # the others are too old
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert uids == [hit.paper.uid for hit in store.recommend("owner", "safety", k=13, days=30)]


def test_a_tag_that_nothing_bears_is_named(store):
    store.ingest(papers())
    with pytest.raises(InputError, match="no paper bears the tag 'safety'"):
        store.recommend("owner", "safety")
    store.tag("owner", 1, "safety")
    with pytest.raises(InputError, match="days is 0"):
        store.recommend("owner", "safety", days=0)


def test_the_others_are_a_sample_that_stays_the_same(monkeypatch):
    monkeypatch.setattr(recommend, "MOST_OTHERS", 10)
    chosen = recommend.sample(range(100), {3, 4})
    assert len(chosen) == 10
    assert chosen == recommend.sample(range(100), {3, 4}) == sorted(chosen)
    assert not {3, 4} & set(chosen)
