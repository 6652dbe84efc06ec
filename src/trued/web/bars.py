"""Progress bars read back from what a process draws on its error stream, and its other lines kept.

Knows the look of `lab.progress` and `learn.fit.progress`. Knows nothing of processes or pages. A run cannot be
asked how far it is within a seed, but it shows that to whoever looks at its terminal.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

LINES = 200
# What rich asks the environment: draw although this is no terminal, without colour, wide enough not to cut names.
ENVIRONMENT = {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "160"}
_LONGEST = 65_536  # characters without an end of line that are waited for
_REDRAWN, _GONE = "\x1b[2K", "\x1b[?25h"  # the line is erased; the cursor comes back, since the display has ended
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]")
_COUNT = re.compile(r"\d+/(?:\d+|\?)")
_TIME = re.compile(r"[-\d]+(:[-\d]+)+")


@dataclass(frozen=True)
class Step:
    """How far one bar is.

    Attributes:
        what: what it counts.
        done, total: so many of so many; total is None where the end is not known.
        left: the time left, as the bar has it; empty while it has none.
        detail: what else it says, such as a loss.
    """

    what: str
    done: int
    total: int | None
    left: str
    detail: str = ""

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1."""
        return self.done / self.total if self.total else None


class Screen:
    """What a process drew last, fed as it arrives.

    Attributes:
        steps: the bars as they stand, outermost first; empty while nothing is counted.
        lines: the latest lines that are no bars and were not overwritten.
    """

    def __init__(self) -> None:
        self.steps: tuple[Step, ...] = ()
        self.lines: deque[str] = deque(maxlen=LINES)
        self._frame: list[Step] = []
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take in what the process wrote next, cut anywhere."""
        *whole, rest = re.split(r"(?<=[\r\n])", self._rest + text)
        self._rest = rest[-_LONGEST:]
        for piece in whole:
            self._take(piece)

    def _take(self, piece: str) -> None:
        if _REDRAWN in piece:
            self.steps, self._frame = tuple(self._frame), []
        if _GONE in piece:
            self.steps, self._frame = (), []
        text = _CONTROL.sub("", piece).rstrip()
        step = _step(text)
        if step is not None:
            self._frame.append(step)
        elif text and piece.endswith("\n"):  # what ends in a carriage return is written over
            self.lines.append(text)


def _step(text: str) -> Step | None:
    """Read `NAME ━━━━ 3/12 DETAIL 0:00:05 left 0:00:15`, in which all but counts and elapsed time may be missing.

    Returns:
        None for any other text.
    """
    before, marked, after = text.rpartition(" left")
    words, left = before.split(), after.strip()
    if not marked or not words or not _TIME.fullmatch(words.pop()) or (left and not _TIME.fullmatch(left)):
        return None
    place = next((i for i in reversed(range(len(words))) if _COUNT.fullmatch(words[i])), None)
    if place is None:
        return None
    done, _, total = words[place].partition("/")
    what = " ".join(word for word in words[:place] if word.strip("━╸╺"))
    detail = " ".join(words[place + 1 :])
    return Step(what, int(done), None if total == "?" else int(total), "" if "-" in left else left, detail)
