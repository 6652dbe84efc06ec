"""Stores on SQLite and on a real PostgreSQL server, a clock set by hand, and an embedder that knows synonyms."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from trued.feed.paper_store import PaperStore
from trued.feed.search.query import FUNCTION_WORDS, words
from trued.feed.store.tables import Base

NO_SERVER = "no PostgreSQL server: neither TRUED_TEST_POSTGRES is set nor is there a /usr/lib/postgresql/*/bin/initdb"


class Clock:
    """Tells a time that the test sets."""

    def __init__(self):
        self.now = datetime(2025, 12, 10, 12, tzinfo=UTC)

    def __call__(self):
        return self.now

    def pass_(self, **time):
        self.now += timedelta(**time)


class ToyEmbedder:
    """Sums a random vector for each word's meaning; a few words mean the same."""

    SAME = {"automobile": "car", "vehicle": "car", "feline": "cat"}  # noqa: RUF012

    def __init__(self, seed=0, dim=256):
        self.seed, self.dim, self.texts = seed, dim, []

    def __call__(self, texts):
        self.texts += texts
        return np.stack([self.one(one) for one in texts])

    def one(self, text):
        vector = np.full(self.dim, 1e-3)
        for word in words(text):
            meaning = self.SAME.get(word.rstrip("s"), word.rstrip("s"))
            if word in FUNCTION_WORDS:
                continue
            vector += np.random.default_rng([self.seed, *meaning.encode()]).standard_normal(self.dim)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def embedder():
    return ToyEmbedder()


@pytest.fixture
def store(clock):
    """A store in memory, without an embedder."""
    store = PaperStore("sqlite://", clock=clock)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request, clock, tmp_path):
    """A store in a file of SQLite, and one on a PostgreSQL server."""
    url = request.getfixturevalue("postgres") if request.param == "postgresql" else f"sqlite:///{tmp_path}/papers.db"
    store = PaperStore(url, clock=clock)
    if request.param == "postgresql":
        tables = ", ".join(table for table in Base.metadata.tables if table != "facts")
        with store.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
            connection.execute(text("DELETE FROM facts"))
        store.id = store._identify()
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgres():
    """The URL of a PostgreSQL database: the one that TRUED_TEST_POSTGRES names, or one on a server of our own."""
    if url := os.environ.get("TRUED_TEST_POSTGRES"):
        yield url
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip(NO_SERVER)
    folder = Path(tempfile.mkdtemp(prefix="trued-pg-"))
    unprivileged = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "nobody", "nogroup")
        unprivileged = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    data = str(folder / "data")

    def call(program, *words):
        command = [str(found[-1].with_name(program)), "-D", data, *words]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder, **unprivileged
        )
        assert done.returncode == 0, done.stderr

    call("initdb", "-U", "trued", "-A", "trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    call("pg_ctl", "-o", f"-k {folder} -c listen_addresses='' -c fsync=off", "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://trued@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_postgres(postgres):
    """The URL of a database of its own on that server, without tables."""
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS fresh"))
        connection.execute(text("CREATE DATABASE fresh"))
    engine.dispose()
    return postgres.replace("/postgres?", "/fresh?")
