"""Where `trued` begins: nothing is imported before Ctrl-C is looked after.

Knows the signal and its exit code. Knows nothing of commands.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def main() -> int:
    """Run one command; Ctrl-C while the program is still being imported is one line and exit code 130."""
    signal.signal(signal.SIGINT, _leave)
    from trued.cli.main import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run()
    except KeyboardInterrupt:  # between two lines of `run`, or a second one while it says what the first one left
        sys.stderr.write("trued: interrupted\n")
        return INTERRUPTED


def _leave(number: int, frame: FrameType | None) -> None:
    # An exception would be raised within an import, and some packages turn it into one of their own.
    sys.stderr.write("trued: interrupted\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
