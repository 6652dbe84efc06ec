"""The schema is what the tables say, on both databases; it is made once; what cannot be opened is named."""

import os
import stat
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore, default_store
from trued.feed.store.database import MIGRATIONS, VERSION_TABLE, Database
from trued.feed.store.tables import REVISION, Base, FactRow


def differences(database):
    """What alembic would change to make the database like the tables, the full-text index apart."""
    options = {
        "version_table": VERSION_TABLE,
        "include_object": lambda _, name, kind, *rest: "fts" not in name,
        "include_name": lambda name, kind, parents: kind != "table" or name in Base.metadata.tables,
    }
    with database.engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def test_the_migrations_make_the_tables(either):
    assert differences(either) == []


def test_the_comparison_would_notice(either):
    with either.engine.begin() as connection:
        connection.execute(text("ALTER TABLE notes RENAME COLUMN text TO words"))
    try:
        assert differences(either)
    finally:
        with either.engine.begin() as connection:
            connection.execute(text("ALTER TABLE notes RENAME COLUMN words TO text"))


def test_the_tables_agree_with_the_last_migration():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_migration_can_be_taken_back(kind, tmp_path, request):
    from alembic import command

    url = f"sqlite:///{tmp_path}/papers.db" if kind == "sqlite" else request.getfixturevalue("empty_postgres")
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with database.engine.connect() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM {VERSION_TABLE}")).scalar() == 0
    database.close()
    again = Database(url)
    assert differences(again) == []
    again.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_store_keeps_its_papers_and_names_their_pictures(kind, tmp_path, request):
    from alembic import command

    url = f"sqlite:///{tmp_path}/papers.db" if kind == "sqlite" else request.getfixturevalue("empty_postgres")
    store = PaperStore(url)
    store.ingest([FeedPaper("Named", source="huggingface", extra={"thumbnail": "https://hf.co/a.png", "k": 1})])
    store.ingest([FeedPaper("Nameless", source="huggingface", extra={"thumbnail": {"url": 1}})])
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    store.close()
    again = PaperStore(url)
    papers = [again.get(uid).paper for uid in (1, 2)]
    assert [(paper.thumbnail, dict(paper.extra)) for paper in papers] == [
        ("https://hf.co/a.png", {"k": 1}), (None, {"thumbnail": {"url": 1}}),
    ]  # fmt: skip
    assert again.search("nameless", mode="keyword")[0].paper.uid == 2
    again.close()


def test_a_store_of_a_newer_version_is_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/papers.db"
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    database.close()
    with pytest.raises(InputError, match=r"schema 9999.*install the newer trued"):
        Database(url)


def test_opening_a_current_store_loads_no_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/papers.db"
    Database(url).close()
    code = f"import sys; from trued.feed.paper_store import PaperStore; PaperStore({url!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"alembic", "torch", "sklearn", "fastapi", "scipy"}.isdisjoint(loaded)


def test_several_may_open_a_new_store_at_once_and_agree_on_its_id(tmp_path):
    url, ids, errors = f"sqlite:///{tmp_path}/papers.db", [], []

    def open_():
        try:
            ids.append(Database(url).id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(ids)) == 1
    assert len(ids) == 4


def test_the_file_is_in_write_ahead_mode_and_a_reader_does_not_wait_for_a_writer(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/papers.db")
    with database.writing() as writer:
        writer.execute(text("INSERT INTO facts VALUES ('half', 'done')"))
        with database.reading() as reader:
            assert reader.get(FactRow, "half") is None
            assert reader.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    with database.reading() as reader:
        assert reader.get(FactRow, "half") is not None


def test_an_error_leaves_nothing_of_its_transaction(either):
    def cut_off():
        with either.writing() as session:
            session.add(FactRow(key="half", value="done"))
            session.flush()
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        cut_off()
    with either.reading() as session:
        assert session.get(FactRow, "half") is None


@pytest.mark.parametrize("url", ["nonsense", "nosuch://user:secret@x/y"])
def test_a_bad_url_is_one_sentence_without_the_url(url):
    with pytest.raises(InputError, match="not an SQLAlchemy URL") as error:
        Database(url)
    assert "secret" not in str(error.value)


def test_another_kind_of_database_is_refused():
    message = r"mysql; the daily papers are kept in sqlite or postgresql|driver that is not"
    with pytest.raises(InputError, match=message):
        Database("mysql://host/name")


def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        Database(f"sqlite:///{tmp_path}/no/such/folder/papers.db")
    (tmp_path / "other.db").write_bytes(b"this is no database at all, but long enough to look at" * 20)
    with pytest.raises(InputError, match="cannot be opened: file is not a database"):
        Database(f"sqlite:///{tmp_path}/other.db")


def test_the_environment_names_the_place(monkeypatch, tmp_path):
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TRUED_DATABASE_URL", raising=False)
    default_store().close()
    assert (tmp_path / "data" / "papers.db").exists()
    monkeypatch.setenv("TRUED_DATABASE_URL", f"sqlite:///{tmp_path}/mine.db")
    PaperStore().close()
    assert (tmp_path / "mine.db").exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_no_other_user_reads_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("TRUED_DATABASE_URL", raising=False)

    def modes(folder):
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.db*")}

    before = os.umask(0o022)
    try:
        store = default_store()
        store.ingest([FeedPaper("A Title")])
        assert set(modes(tmp_path / "data").values()) == {0o600}
        assert "papers.db-wal" in modes(tmp_path / "data")
        assert store.doctor() == []
        store.close()
        (tmp_path / "data" / "papers.db").chmod(0o644)  # as an earlier version left it
        default_store().close()
        assert modes(tmp_path / "data")["papers.db"] == 0o600
        shared = tmp_path / "shared.db"
        PaperStore(f"sqlite:///{shared}").close()
        assert modes(tmp_path)["shared.db"] == 0o600
        shared.chmod(0o640)  # a file of one's own may be shared on purpose
        store = PaperStore(f"sqlite:///{shared}")
        assert modes(tmp_path)["shared.db"] == 0o640
        assert ["can be read by other users" in finding for finding in store.doctor()] == [True]
        store.close()
    finally:
        os.umask(before)


def test_ended_sessions_are_kept_until_their_cookies_end(either, clock):
    either.end_session("a", clock.now + timedelta(days=30))
    either.end_session("a", clock.now + timedelta(days=30))
    assert (either.session_ended("a"), either.session_ended("b")) == (True, False)
    clock.pass_(days=31)
    either.end_session("b", clock.now + timedelta(days=30))
    assert (either.session_ended("a"), either.session_ended("b")) == (False, True)


def test_a_clock_without_a_zone_is_refused(store, clock):
    clock.now = clock.now.replace(tzinfo=None)
    with pytest.raises(InputError, match="without a time zone"):
        store.now()
