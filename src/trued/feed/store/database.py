"""The database under the daily papers: its engine, its transactions, and the schema brought up to date.

Knows SQLite, PostgreSQL and Alembic. Knows nothing of papers. On SQLite the file is in write-ahead mode, so a page is
served while a sync writes; a transaction that will write takes its lock at the start, so that none fails half-way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from trued.database import open_engine
from trued.errors import InputError
from trued.feed.store.records import utc_now
from trued.feed.store.tables import REVISION, FactRow
from trued.files import data_dir

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "feed_version"
LOCK = 0x7472756564  # the number under which PostgreSQL keeps our writers in line
PRIVATE = 0o600
PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a claimed digest must outlive a power cut: what was sent can't be called back
    "foreign_keys": "ON",
    "cache_size": -65_536,  # KiB
    "mmap_size": 1 << 30,
}


class Database:
    """An open database with the current schema.

    Args:
        url: an SQLAlchemy URL; `TRUED_DATABASE_URL`, or `papers.db` in the data folder, if None.
        clock: tells the time, in UTC.

    Raises:
        InputError: the URL is not one, the database cannot be reached, or a newer trued made it.
        MissingExtra: the database's driver is not installed.
    """

    def __init__(self, url: str | None = None, *, clock: Callable[[], datetime] = utc_now) -> None:
        url = url or os.environ.get("TRUED_DATABASE_URL")
        if url is None:
            data_dir().mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{data_dir() / 'papers.db'}"
        self._clock = clock
        _make_private(url)
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(writes=True)
        try:
            self._migrate()
            self.id = self._identify()
        except SQLAlchemyError as error:
            self.engine.dispose()
            reason = getattr(error, "orig", None) or error
            raise InputError(
                f"the store of papers {self.engine.url!r} cannot be opened: {reason}; check TRUED_DATABASE_URL and "
                "TRUED_DATA"
            ) from error

    @property
    def sqlite(self) -> bool:
        """True on SQLite, false on PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    def now(self) -> datetime:
        """Return the present moment in UTC.

        Raises:
            InputError: the clock gives a time without a zone.
        """
        moment = self._clock()
        if moment.tzinfo is None:
            raise InputError(f"the clock gave {moment.isoformat()} without a time zone: give it in UTC")
        return moment.astimezone(UTC)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that sees one state of the store from its first query to its last."""
        with Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session whose changes are kept together, or not at all; writers take turns."""
        with Session(self._writer) as session, session.begin():
            if not self.sqlite:
                session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            yield session

    def insert(self, table: Any) -> Any:
        """Return an INSERT of this database's kind, which knows `on_conflict_do_nothing` and its like."""
        return (sqlite if self.sqlite else postgresql).insert(table)

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        with self.engine.connect() as connection:
            if _revision(connection) == REVISION:
                return
        with self._writer.begin() as connection:
            if not self.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            revision = _revision(connection)  # again: another process may have been faster
            if revision != REVISION:
                upgrade(connection, revision)

    def _identify(self) -> str:
        """Return the store's id, which names what is kept beside it; the first to ask sets it."""
        with self.reading() as session:
            if row := session.get(FactRow, "id"):
                return row.value
        with self.writing() as session:
            session.execute(self.insert(FactRow).values(key="id", value=uuid4().hex).on_conflict_do_nothing())
            return session.get_one(FactRow, "id").value


def _make_private(url: str) -> None:
    """Make a file that is not there yet readable by its user alone: it will contain addresses and notes.

    SQLite gives the files beside it the same permissions. A file that is there is left as it is, except in trued's own
    folder; `trued papers doctor` tells of one that others may read.
    """
    path = file_of(url)
    if path is None or not path.parent.is_dir():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))
    except FileExistsError:
        if path.parent == data_dir():
            for file in (path, *beside(path)):
                file.chmod(PRIVATE)
    except OSError:  # opening it says why it cannot be
        pass


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite database, or None for one in memory or on a server."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    name = parsed.database if parsed.get_backend_name() == "sqlite" else None
    return Path(name) if name and name != ":memory:" and not name.startswith("file:") else None


def beside(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside a database while it is open."""
    return [file for end in ("-wal", "-shm") if (file := Path(f"{path}{end}")).is_file()]


def _engine(url: str) -> Engine:
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def upgrade(connection: Connection, revision: str | None) -> None:
    """Bring the schema from revision `revision` (None: an empty database) to this version's, within one transaction.

    Raises:
        InputError: `revision` is of a newer trued.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_table", VERSION_TABLE)
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise InputError(
            f"the store of papers has schema {revision}, which this trued does not know (it knows up to {REVISION}): "
            "install the newer trued that made it"
        )
    command.upgrade(config, REVISION)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin late, and end before a change of schema: we begin
    for name, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
