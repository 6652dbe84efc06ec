"""Opening a database by its URL: SQLite by default, PostgreSQL where its driver is installed.

Knows SQLAlchemy's engines. Knows nothing of what is kept in them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from trued.errors import InputError, MissingExtra

PATIENCE = 60  # seconds to wait for another writer of one SQLite file


def open_engine(url: str) -> Engine:
    """Return an engine for an SQLAlchemy URL of SQLite or PostgreSQL; nothing is connected yet.

    Raises:
        InputError: the URL is not one, or names another kind of database.
        MissingExtra: PostgreSQL's driver is not installed.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        options: dict[str, Any] = {"pool_pre_ping": backend == "postgresql"}
        if backend == "sqlite":
            options["connect_args"] = {"timeout": PATIENCE}
            if parsed.database in (None, "", ":memory:"):
                options["poolclass"] = StaticPool  # one connection, or each would see an empty database of its own
                options["connect_args"]["check_same_thread"] = False
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError):
        # The URL is not repeated: it may contain a password.
        raise InputError(
            "TRUED_DATABASE_URL is not an SQLAlchemy URL; expected one such as postgresql+psycopg://host/name"
        ) from None
    except ModuleNotFoundError as error:
        if "psycopg" in str(error):
            raise MissingExtra("the PostgreSQL driver", "postgres") from None
        raise InputError(f"TRUED_DATABASE_URL needs a driver that is not installed: {error}") from None
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"TRUED_DATABASE_URL names {backend}; runs and papers are kept in sqlite or postgresql")
    return engine
