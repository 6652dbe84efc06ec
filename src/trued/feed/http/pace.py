"""Politeness: one request at a time to each host, and a pause between two, over all processes of this machine.

Knows hosts and moments. Knows nothing of what is asked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trued.errors import InputError

_PATIENCE = 300.0  # seconds for another process to have its turn


class Pace:
    """Turns at asking a host, kept in files so that a page that is served and a sync beside it share them.

    Args:
        folder: for a lock and a time stamp a host.
        wait: sleeps for so many seconds.
    """

    def __init__(self, folder: Path, wait: Callable[[float], None] = time.sleep) -> None:
        self.folder, self._wait = folder, wait

    @contextmanager
    def turn(self, host: str, every: float) -> Iterator[None]:
        """Hold the only turn at `host`, no sooner than `every` seconds after the last one ended.

        Raises:
            InputError: another process has not given the turn back for minutes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9.-]", "_", host)
        stamp = self.folder / f"{name}.asked"
        lock = FileLock(self.folder / f"{name}.lock", timeout=_PATIENCE)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"another process has been asking {host} for minutes; try again when it is done") from None
        try:
            if stamp.exists():
                # A clock that was set back must not make this wait for longer than the pause itself.
                since = max(0.0, time.time() - stamp.stat().st_mtime)
                if since < every:
                    self._wait(every - since)
            try:
                yield
            finally:
                stamp.touch()
        finally:
            lock.release()
