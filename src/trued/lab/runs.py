"""The run store: which seeds of which runs are finished, and what they measured. SQLAlchemy, SQLite by default.

Knows runs, seeds and JSON values. Knows nothing of claims' meaning or of how a run is carried out.
`TRUED_DATABASE_URL` names another database, such as PostgreSQL, that several machines may share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import JSON, DateTime, ForeignKey, delete, event, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from trued.database import open_engine
from trued.errors import InputError
from trued.files import cache_dir
from trued.lab.measurement import SeedData


class _Base(DeclarativeBase):
    type_annotation_map: ClassVar = {
        dict[str, Any]: JSON,
        list[Any]: JSON,
        Any: JSON,
        datetime: DateTime(timezone=True),
    }


class RunRow(_Base):
    """One run of one experiment. `status` is running, interrupted, failed or finished."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(index=True)
    scale: Mapped[str]
    model: Mapped[str]
    settings_digest: Mapped[str] = mapped_column(index=True)
    settings: Mapped[dict[str, Any]]
    status: Mapped[str]
    started: Mapped[datetime]
    finished: Mapped[datetime | None]
    evidence: Mapped[dict[str, Any] | None]
    exhibits: Mapped[list[Any] | None]


class SeedRow(_Base):
    """One seed of a run. `status` is finished or failed."""

    __tablename__ = "seeds"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    seconds: Mapped[float]
    peak_bytes: Mapped[int]
    exhibits: Mapped[list[Any]]


class MeasurementRow(_Base):
    """The values of one arm (`role`) of one claim in one seed."""

    __tablename__ = "measurements"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)
    claim: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    values: Mapped[list[Any]]


class RecordRow(_Base):
    """Whatever else an experiment keeps of a seed."""

    __tablename__ = "records"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(nullable=True)


@dataclass(frozen=True)
class Run:
    """A run in the store: finished seeds in and out."""

    store: RunStore
    id: str

    def finished(self) -> dict[int, SeedData]:
        """Return all finished seeds with everything they measured."""
        with self.store.session() as session:
            seeds = session.scalars(select(SeedRow).filter_by(run_id=self.id, status="finished").order_by(SeedRow.seed))
            data = {
                row.seed: SeedData(exhibits=row.exhibits, seconds=row.seconds, peak_bytes=row.peak_bytes)
                for row in seeds
            }
            for row in session.scalars(select(MeasurementRow).filter_by(run_id=self.id)):
                if row.seed in data:
                    data[row.seed].measurements.setdefault(row.claim, {})[row.role] = row.values
            for row in session.scalars(select(RecordRow).filter_by(run_id=self.id)):
                if row.seed in data:
                    data[row.seed].records[row.key] = row.value
            return data

    def commit(self, seed: int, data: SeedData) -> None:
        """Keep a finished seed: all of it, in one transaction, in place of what an earlier try left."""
        with self.store.session() as session:
            self._clear(session, seed)
            session.add(
                SeedRow(
                    run_id=self.id,
                    seed=seed,
                    status="finished",
                    seconds=data.seconds,
                    peak_bytes=data.peak_bytes,
                    exhibits=data.exhibits,
                )
            )
            for claim, arms in data.measurements.items():
                for role, values in arms.items():
                    session.add(MeasurementRow(run_id=self.id, seed=seed, claim=claim, role=role, values=values))
            for key, value in data.records.items():
                session.add(RecordRow(run_id=self.id, seed=seed, key=key, value=value))

    def abandon(self, seed: int, seconds: float) -> None:
        """Note that a seed failed; nothing that it measured is kept."""
        with self.store.session() as session:
            self._clear(session, seed)
            session.add(SeedRow(run_id=self.id, seed=seed, status="failed", seconds=seconds, peak_bytes=0, exhibits=[]))

    def stop(self, status: str) -> None:
        """Mark the run as "interrupted" or "failed"; it can be continued."""
        with self.store.session() as session:
            session.get_one(RunRow, self.id).status = status

    def finish(self, evidence: dict[str, Any], exhibits: list[dict[str, Any]]) -> None:
        """Mark the run as finished and keep what its report is made of."""
        with self.store.session() as session:
            row = session.get_one(RunRow, self.id)
            row.status, row.finished = "finished", datetime.now(UTC)
            row.model, row.evidence, row.exhibits = evidence["model"], evidence, exhibits

    def _clear(self, session: Session, seed: int) -> None:
        for table in (RecordRow, MeasurementRow, SeedRow):
            session.execute(delete(table).filter_by(run_id=self.id, seed=seed))


class RunStore:
    """All runs in one database.

    Args:
        url: an SQLAlchemy URL; `TRUED_DATABASE_URL`, or `runs.db` in the cache folder, if None.

    Raises:
        InputError: the URL is not one, or the database cannot be reached.
        MissingExtra: the database's driver is not installed.
    """

    def __init__(self, url: str | None = None) -> None:
        url = url or os.environ.get("TRUED_DATABASE_URL")
        if url is None:
            cache_dir().mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{cache_dir() / 'runs.db'}"
        self.engine = _engine(url)
        try:
            _Base.metadata.create_all(self.engine)
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            raise InputError(f"the run store {self.engine.url!r} cannot be opened: {reason}; "
                             "check TRUED_DATABASE_URL and TRUED_CACHE") from error  # fmt: skip

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session whose changes are kept together, or not at all."""
        with Session(self.engine) as session, session.begin():
            yield session

    def start(self, slug: str, scale: str, *, model: str, settings: dict[str, Any], settings_digest: str) -> Run:
        """Open a new run."""
        run = Run(self, uuid4().hex)
        with self.session() as session:
            session.add(
                RunRow(
                    id=run.id,
                    slug=slug,
                    scale=scale,
                    model=model,
                    settings_digest=settings_digest,
                    settings=settings,
                    status="running",
                    started=datetime.now(UTC),
                    finished=None,
                    evidence=None,
                    exhibits=None,
                )
            )
        return run

    def find_resumable(self, slug: str, scale: str, settings_digest: str) -> Run | None:
        """Return the latest run with these settings that was not finished, or None.

        A run that was killed is still marked as running, so it counts as well.
        """
        query = (
            select(RunRow)
            .where(RunRow.status != "finished")
            .filter_by(slug=slug, scale=scale, settings_digest=settings_digest)
            .order_by(RunRow.started.desc())
        )
        with self.session() as session:
            row = session.scalars(query).first()
            if row is None:
                return None
            row.status = "running"
            return Run(self, row.id)

    def runs(self, slug: str | None = None) -> list[RunRow]:
        """Return all runs, the latest first, of one paper or of all."""
        query = select(RunRow).order_by(RunRow.started.desc())
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(query.filter_by(slug=slug) if slug else query))

    def row(self, run_id: str) -> RunRow:
        """Return the run whose id starts with `run_id`.

        Raises:
            InputError: none does, or several do.
        """
        matches = [row for row in self.runs() if row.id.startswith(run_id)] if run_id else []
        if len(matches) != 1:
            count = "no run's id starts" if not matches else f"the ids of {len(matches)} runs start"
            raise InputError(f"{count} with '{run_id}'; `trued report` lists the runs")
        return matches[0]


def _engine(url: str) -> Engine:
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    return engine
