"""Experiments as processes of the server: started, followed and stopped, one at a time.

Knows processes, what a job says and what it draws. Knows nothing of requests, and of an experiment only its slug.
A run outlives nothing: when the server ends, it is stopped like by Ctrl-C, keeps its finished seeds, and continues
when it is started again.
"""

from __future__ import annotations

import codecs
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO

from trued.errors import InputError
from trued.lab.runs import Run, RunStore
from trued.papers import catalogue
from trued.web.bars import ENVIRONMENT, Screen
from trued.web.settings import SECRET, TOKEN

SCALES = ("tiny", "desktop", "full")
MOST_SEEDS = 20
COMMAND = (sys.executable, "-m", "trued.web.job")
_SECRETS = frozenset((TOKEN, SECRET, "TRUED_SMTP_PASSWORD"))  # of the server, and no business of an experiment
_PATIENCE = 10.0  # seconds in which a run that was asked to stop may finish what it is writing
_KEPT = 32  # jobs that are remembered after their end
_LONGEST_MODEL = 500


class Busy(InputError):  # noqa: N818 - reads as a sentence: raise Busy(...)
    """Another experiment is running; the message says which."""


@dataclass(frozen=True)
class RunRequest:
    """What to run, as `trued run` takes it.

    Raises:
        InputError: no paper that runs, no such scale, too many seeds or none, or a model's name that cannot be one.
    """

    slug: str
    scale: str = "tiny"
    seeds: int | None = None
    model: str | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        if catalogue.state(self.slug) != "runs":
            raise InputError(f"there is no experiment on {self.slug} yet; the board shows which papers run")
        if self.scale not in SCALES:
            raise InputError(f"there is no scale {self.scale[:40]!r}; choose {', '.join(SCALES)}")
        if self.seeds is not None and not 1 <= self.seeds <= MOST_SEEDS:
            raise InputError(f"{self.seeds} seeds; give 1 to {MOST_SEEDS}, or none for the experiment's own")
        if self.model is not None and not (0 < len(self.model) <= _LONGEST_MODEL and self.model.isprintable()):
            raise InputError("the model's name does not fit on a line; give a local folder or a hub id")


class Job:
    """One experiment that this server started.

    Attributes:
        order: what to run.
        started: when, in UTC.
        run_id: the run in the store, once it is open.
        seeds: those to run, once the run is open.
        report: the path of its report, once it is finished.
        error: the sentence that says why it ended otherwise.
        screen: what it draws.
        stopping: it was asked to stop.
    """

    def __init__(self, order: RunRequest, database_url: str | None, command: Sequence[str]) -> None:
        self.order, self.database_url = order, database_url
        self.started = datetime.now(UTC)
        self.run_id: str | None = None
        self.seeds: tuple[int, ...] = ()
        self.report = self.error = ""
        self.screen = Screen()
        self.stopping = False
        self._ended = threading.Event()
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**{name: value for name, value in os.environ.items() if name not in _SECRETS}, **ENVIRONMENT},
        )  # fmt: skip
        threading.Thread(target=self._follow, daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the process has ended, and the store says so."""
        return self._ended.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; tell whether it came."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """Ask the run to stop as Ctrl-C does, so that finished seeds are kept; asked again, end it at once."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM if self.stopping else signal.SIGINT)
        self.stopping = True

    def end(self) -> None:
        """Stop the run and return when it has ended."""
        if not self.over and not self.stopping:
            self.stop()
        if not self.wait(_PATIENCE):
            self._process.kill()
            self.wait(_PATIENCE)

    def _follow(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        assert self._process.stderr is not None
        drawing = threading.Thread(target=self._watch, args=(self._process.stderr,), daemon=True)
        drawing.start()
        try:
            order = {**asdict(self.order), "database_url": self.database_url}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.close()
        except OSError:  # it ended before it listened, and its last lines say why
            pass
        for line in self._process.stdout:
            self._hear(line)
        code = self._process.wait()
        drawing.join()
        if self.stopping and not self.report:
            self.error = self.error or "stopped; the seeds that were finished are kept"
        elif code and not self.error:
            last = self.screen.lines[-1] if self.screen.lines else "it said nothing"
            self.error = f"the run ended with code {code}: {last}"
        self._settle()
        self._ended.set()

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if "run" in message:
            self.seeds, self.run_id = tuple(message["seeds"]), message["run"]
        self.report = message.get("report", self.report)
        self.error = message.get("error", self.error)

    def _watch(self, stream: IO[bytes]) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while chunk := os.read(stream.fileno(), 65_536):
            self.screen.feed(decode(chunk))

    def _settle(self) -> None:
        """Say in the store that the run is not running, if it was killed before it could say so itself."""
        if self.run_id is None:
            return
        store = RunStore(self.database_url)
        if store.row(self.run_id).status == "running":
            Run(store, self.run_id).stop("interrupted")
        store.engine.dispose()


class Runner:
    """The jobs of one server.

    Args:
        database_url: of the run store, or None for the default one.
        command: what carries out an order.
    """

    def __init__(self, database_url: str | None = None, command: Sequence[str] = COMMAND) -> None:
        self.database_url, self.command = database_url, tuple(command)
        self._jobs: list[Job] = []
        self._lock = threading.Lock()

    @property
    def latest(self) -> Job | None:
        """The job that was started last, running or over."""
        return self._jobs[-1] if self._jobs else None

    def start(self, order: RunRequest) -> Job:
        """Start an experiment.

        Raises:
            Busy: one is running already. Two would share the processors, and measure each other.
        """
        with self._lock:
            latest = self.latest
            if latest is not None and not latest.wait(_PATIENCE if latest.report or latest.error else 0):
                raise Busy(
                    f"another experiment is running ({latest.order.slug}); wait for it or stop it, "
                    f"and start {order.slug} then"
                )
            job = Job(order, self.database_url, self.command)
            self._jobs = [*self._jobs[-_KEPT:], job]
        return job

    def job(self, run_id: str) -> Job | None:
        """Return the latest job of this server that works, or worked, on a run."""
        return next((job for job in reversed(self._jobs) if job.run_id == run_id), None)

    def close(self) -> None:
        """Stop what is running, and wait for it."""
        if self.latest is not None:
            self.latest.end()
