"""Papers come in once, whole, and again without a change; they are listed, filtered and counted as they should be."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from trued.errors import InputError
from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.paper_store import Filters, PaperStore
from trued.feed.store import ingest as intake
from trued.feed.store.tables import PaperRow, SnapshotRow
from trued.papers import catalogue

DAY = date(2025, 12, 9)


def paper(n, **told):
    return FeedPaper(**{"title": f"Paper number {n}", "abstract": f"About {n}.", "source": "huggingface", **told})


def titles(papers):
    return [one.paper.title for one in papers]


def told(report):
    return report.added, report.changed, report.unchanged, len(report.refused)


WHOLE = FeedPaper(
    "Efficient Adversarial Training in LLMs with Continuous Attacks", "Attacks in embedding space.", "2405.15589", 3,
    date(2024, 5, 24), False, (Author("Ada Lovelace", affiliation="Analytical"), Author("Émile Borel", hidden=True)), 2,
    "Mila", 7, 3, ("cs.LG", "cs.CL"), (Link("https://github.com/a/b", "code"),), "10.1/2", "Journal", "arxiv", 4, "ak",
    {"stars": 3, "nested": {"a": [1, None, True]}}, "https://huggingface.co/a.png",
)  # fmt: skip


def test_a_paper_comes_back_as_it_went_in(either):
    assert told(either.ingest([WHOLE])) == (1, 0, 0, 0)
    found = either.find(arxiv="2405.15589")
    assert found.paper == WHOLE
    assert found.slug == "c-advul"
    assert found.first_seen == found.changed == either.now()
    assert either.get(found.uid) == found
    assert either.find(title="efficient adversarial training in LLMs -- with continuous attacks") == found
    assert either.find(arxiv="2405.00001") is None
    with pytest.raises(InputError, match="no paper number 99"):
        either.get(99)


def test_the_same_again_changes_nothing(either, clock):
    papers = [paper(n, upvotes=n, rank=n + 1) for n in range(7)]
    assert told(either.ingest(papers, day=DAY)) == (7, 0, 0, 0)
    before = either.listing()
    clock.pass_(hours=1)
    assert told(either.ingest(papers, day=DAY)) == (0, 0, 7, 0)
    assert [replace(one, trending=0) for one in either.listing()[0]] == [replace(one, trending=0) for one in before[0]]


def test_what_changed_is_changed_and_dated(either, clock):
    either.ingest([paper(1, upvotes=3), paper(2)])
    clock.pass_(hours=1)
    assert told(either.ingest([paper(1, upvotes=5), paper(2)])) == (0, 1, 1, 0)
    first, second = either.get(1), either.get(2)
    assert first.paper.upvotes == 5
    assert first.changed - first.first_seen == timedelta(hours=1)
    assert second.changed == second.first_seen


def test_two_sources_give_one_paper(either):
    either.ingest([FeedPaper("A Title: x", "As on the page", source="page", comments=2, rank=3)])
    report = either.ingest([FeedPaper("A title – X", "By the authors", "2501.00001", source="arxiv")])
    assert told(report) == (0, 1, 0, 0)
    found = either.find(arxiv="2501.00001").paper
    assert (found.abstract, found.comments, found.rank) == ("By the authors", 2, 3)
    assert either.count() == 1


def test_two_entries_of_one_batch_are_merged_and_two_ids_with_one_title_are_not(either):
    one = FeedPaper("Same title", arxiv="2501.00001", source="arxiv")
    either.ingest([one, replace(one, source="page", comments=4), replace(one, arxiv="2501.00002")])
    assert either.count() == 2
    assert either.find(arxiv="2501.00001").paper.comments == 4


def test_a_listing_that_shrinks_takes_nothing_away(either):
    either.ingest([paper(n) for n in range(5)], day=DAY)
    either.ingest([paper(0)], day=DAY)
    assert either.listing()[1] == 5


def test_what_cannot_come_in_is_reported_and_the_rest_comes_in(either):
    report = either.ingest(
        [paper(1), FeedPaper("?!"), paper(2, arxiv="nonsense"), paper(3, published=date(2099, 1, 1))]
    )
    assert told(report) == (1, 0, 0, 3)
    assert [one.where for one in report.refused] == ["entry 2 (?!)", "entry 3 (nonsense)", "entry 4 (Paper number 3)"]
    assert "no letter and no digit" in report.refused[0].why


def test_an_ingest_that_is_cut_off_keeps_its_batches_and_is_completed_by_the_next(either, monkeypatch):
    monkeypatch.setattr(intake, "BATCH", 3)
    papers, seen = [paper(n) for n in range(8)], []

    def cut_off():
        yield from papers[:7]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        either.ingest(cut_off(), progress=lambda done, total: seen.append((done, total)))
    assert either.count() == 6
    assert seen == [(3, None), (6, None)]
    assert told(either.ingest(papers, progress=lambda done, total: seen.append((done, total)))) == (2, 0, 6, 0)
    assert seen[2:] == [(3, 8), (6, 8), (8, 8)]


def test_a_batch_that_fails_half_way_leaves_nothing(either, monkeypatch):
    monkeypatch.setattr("trued.feed.store.ingest._alter", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        either.ingest([paper(1)])
    assert either.count() == 0


def test_an_old_listing_does_not_move_a_paper_back(either):
    either.ingest([paper(1, rank=2)], day=DAY)
    either.ingest([paper(1, rank=9)], day=DAY - timedelta(days=1))
    either.ingest([paper(1, rank=30)])
    found = either.get(1)
    assert (found.day, found.paper.rank) == (DAY, 2)
    either.ingest([paper(1, rank=1)], day=DAY + timedelta(days=1))
    found = either.get(1)
    assert (found.day, found.paper.rank, found.shown) == (DAY + timedelta(days=1), 1, DAY + timedelta(days=1))


def test_orders(either):
    either.ingest([
        paper("a", rank=2, upvotes=1, published=date(2025, 12, 1)),
        paper("b", rank=1, upvotes=50, published=date(2025, 11, 1)),
        paper("c", upvotes=5, published=date(2025, 12, 10)),
        paper("d"),
    ])  # fmt: skip
    either.ingest([paper("e", rank=1, published=date(2025, 10, 1))], day=DAY)

    def order(name):
        return [title[-1] for title in titles(either.listing(name)[0])]

    assert order("rank") == ["e", "b", "a", "c", "d"]
    assert order("new") == ["c", "a", "b", "e", "d"]
    assert order("upvotes") == ["b", "c", "a", "e", "d"]
    assert order("trending") == ["c", "a", "b", "e", "d"]  # what an old paper gathered is no news
    papers, total = either.listing("new", offset=1, limit=2)
    assert ([one.paper.title[-1] for one in papers], total) == (["a", "b"], 5)
    assert either.days()[0] == (date(2025, 12, 10), 1)
    with pytest.raises(InputError, match="did you mean trending"):
        either.listing("trendy")
    with pytest.raises(InputError, match="offset -1"):
        either.listing(offset=-1)


def test_filters(either, monkeypatch, clock):
    monkeypatch.setattr(catalogue, "state", lambda slug: "runs" if slug == "mixat" else "planned")
    mixat, talon = catalogue.card("mixat"), catalogue.card("talon")
    code = (Link("https://github.com/a/b", "code"),)
    either.ingest([
        FeedPaper(mixat.title, arxiv=mixat.arxiv, published=date(2025, 5, 22), upvotes=9, source="page"),
        FeedPaper(talon.title, published=date(2025, 8, 10), links=code, source="page"),
    ])  # fmt: skip
    clock.pass_(hours=2)
    either.ingest([paper("x")])
    either.tag("owner", 2, "Mine")
    either.tag("other", 1, "mine")
    either.mark_read("owner", 1)
    either.verdicts = lambda: {"mixat": {"supported", "contradicted"}, "talon": {"inconclusive"}}

    def found(**filters):
        return [one.uid for one in either.listing("new", Filters(**filters))[0]]

    assert found() == [2, 1, 3]
    assert found(since=date(2025, 5, 23)) == [2]
    assert found(until=date(2025, 5, 22)) == [1]
    assert found(field="language") == [1]
    assert found(field="robot") == []
    assert found(state="runs") == [1]
    assert found(state="planned") == [2]
    assert found(verdict="contradicted") == [1]
    assert found(tag=" MINE") == [2]
    assert [one.uid for one in either.listing(filters=Filters(tag="mine"), person="other")[0]] == [1]
    assert found(unread_by="owner") == [2, 3]
    assert found(has_code=True) == [2]
    assert found(min_upvotes=9) == [1]
    assert found(arrived_since=clock.now) == [3]
    assert found(arrived_before=clock.now) == [2, 1]
    assert found(field="forecast", has_code=True, min_upvotes=1) == []
    for wrong, sentence in (({"field": "langage"}, "did you mean language"), ({"verdict": "true"}, "no verdict")):
        with pytest.raises(InputError, match=sentence):
            found(**wrong)
    either.verdicts = None
    with pytest.raises(InputError, match="opened without verdicts"):
        found(verdict="supported")


def test_counts_keep_their_history(either, clock):
    either.ingest([paper(1, upvotes=10, comments=1, published=date(2025, 12, 1))])
    clock.pass_(days=1)
    either.ingest([paper(1, upvotes=15)])
    clock.pass_(hours=2)
    either.ingest([paper(1, upvotes=16)])
    assert either.history(1) == [(date(2025, 12, 1), 10, 1), (date(2025, 12, 11), 16, 1)]
    assert either.snapshot(clock.now.date()) == 0


def test_a_snapshot_catches_what_was_written_past_the_store(either, clock):
    either.ingest([paper(1, upvotes=10), paper(2)])
    with either.writing() as session:
        row = session.get(PaperRow, 1)
        row.upvotes, row.popularity = 12, 12
    clock.pass_(days=1)
    today = clock.now.date()
    with pytest.raises(InputError, match="is to come"):
        either.snapshot(today + timedelta(days=1))
    with pytest.raises(InputError, match="kept already"):
        either.snapshot(today - timedelta(days=3))
    assert either.snapshot(today) == 1
    with either.reading() as session:
        assert session.scalars(select(SnapshotRow.upvotes).filter_by(uid=1, day=today)).all() == [12]
    assert either.doctor() == []


def test_trending_of_a_new_paper_and_of_an_old_one(either, clock):
    either.ingest([paper("old", upvotes=500, published=date(2024, 1, 1)), paper("new", upvotes=2, comments=2)])
    old, new = either.get(1), either.get(2)
    assert new.trending == pytest.approx(2 + 0.5 * 2)
    assert old.trending < 1e-100
    clock.pass_(hours=36)
    assert either.get(2).trending == pytest.approx(3 / 2.718281828)
    either.ingest([paper("old", upvotes=510)])
    assert either.get(1).trending == pytest.approx(10)


def test_a_reader_and_a_writer_side_by_side(tmp_path):
    url = f"sqlite:///{tmp_path}/papers.db"
    served, synced = PaperStore(url), PaperStore(url)
    synced.ingest([paper(n) for n in range(20)])
    with synced.writing():
        assert served.listing()[1] == 20
        assert len(served.search("number", mode="keyword")) == 20
    served.close()
    synced.close()
