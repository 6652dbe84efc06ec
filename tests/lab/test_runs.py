"""The store keeps seeds whole, finds what can be continued, and explains a database that cannot be opened."""

import pytest

from trued.errors import InputError
from trued.lab.measurement import SeedData
from trued.lab.runs import RunStore

DATA = SeedData(
    measurements={"better": {"baseline": [0.0, 0.1], "method": [1.0, 1.1], "control": [0.0, 0.0]}},
    records={"curve": {"x": [1, 2]}, "nothing": None},
    exhibits=[{"kind": "table", "name": "t", "rows": [], "caption": ""}],
    seconds=1.5,
    peak_bytes=2**40,
)


def start(store, digest="d", **options):
    return store.start(
        options.get("slug", "paper"), options.get("scale", "tiny"), model="m", settings={}, settings_digest=digest
    )


def test_a_seed_comes_back_as_it_was_from_a_file(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    run = start(RunStore(url))
    run.commit(7, DATA)
    again = RunStore(url).find_resumable("paper", "tiny", "d")
    assert again is not None
    assert again.id == run.id
    assert again.finished() == {7: DATA}


def test_a_seed_is_replaced_not_mixed(store):
    run = start(store)
    run.commit(0, DATA)
    run.commit(0, SeedData(records={"other": 1}))
    assert run.finished() == {0: SeedData(records={"other": 1})}
    run.abandon(0, 0.1)
    assert run.finished() == {}


def test_only_an_unfinished_run_with_the_same_settings_is_continued(store):
    done, open_ = start(store), start(store)
    done.finish({"model": "m2"}, [])
    open_.stop("interrupted")
    result = store.find_resumable("paper", "tiny", "d")
    assert result is not None
    assert result.id == open_.id
    for other in (("other", "tiny", "d"), ("paper", "full", "d"), ("paper", "tiny", "e")):
        assert store.find_resumable(*other) is None


def test_runs_are_listed_latest_first_and_found_by_the_start_of_their_id(store):
    first, second = start(store), start(store, slug="other")
    assert [row.id for row in store.runs()] == [second.id, first.id]
    assert [row.id for row in store.runs("paper")] == [first.id]
    assert store.row(first.id[:12]).slug == "paper"
    with pytest.raises(InputError, match="no run's id starts with 'zz'"):
        store.row("zz")


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y"])
def test_a_bad_url_is_one_sentence_without_the_url(url):
    with pytest.raises(InputError, match="not an SQLAlchemy URL") as error:
        RunStore(url)
    assert url not in str(error.value)


def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        RunStore(f"sqlite:///{tmp_path}/no/such/folder/runs.db")


def test_the_environment_names_the_database(monkeypatch, tmp_path):
    monkeypatch.setenv("TRUED_DATABASE_URL", f"sqlite:///{tmp_path}/mine.db")
    RunStore()
    assert (tmp_path / "mine.db").exists()
