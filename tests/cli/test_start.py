"""Ctrl-C in the first second is one line and exit code 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

SLOW = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            print("now", flush=True)
            try:
                time.sleep(60)
            except KeyboardInterrupt as error:
                raise ImportError("a library's own error") from error
sys.meta_path.insert(0, Slow())
from trued.cli.start import main
sys.argv = ["trued", "papers", "list"]
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["trued.cli.main", "trued.cli.papers.app"])
def test_an_interrupt_while_modules_are_imported_is_one_line(name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(name=name)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TRUED_DEBUG": ""},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "trued: interrupted\n"
