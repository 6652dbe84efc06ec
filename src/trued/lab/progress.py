"""Progress bars with time left, on the error stream, so that standard output stays clean for `--json`.

Knows iterables. Knows nothing of what is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import ExitStack
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trued.learn.fit.progress import minute_lines

T = TypeVar("T")


class Bars:
    """Any number of nested bars that share one live display, which exists only while one of them is counting.

    Where the error stream is no terminal, a line a minute stands for the bars.

    Args:
        shown: whether to show anything at all.
    """

    def __init__(self, shown: bool = True) -> None:
        self.console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self.shown = shown
        self._display: Progress | None = None
        self._open = ExitStack()
        self._counting = 0

    def log(self, text: str) -> None:
        """Print one line, above the bars if there are any."""
        if self.shown:
            self.console.print(text, style="dim", soft_wrap=True)

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield `items` while a bar counts them; the bar goes when they end or the loop is left."""
        if not self.shown:
            yield from items
            return
        if total is None and isinstance(items, Sized):
            total = len(items)
        display = self._display
        if display is None:
            display = self._display = _display(self.console)
            self._open.enter_context(display)
            if not self.console.is_terminal:
                self._open.enter_context(minute_lines(display))
        self._counting += 1
        task = display.add_task(description, total=total)
        try:
            for item in items:
                yield item
                display.advance(task)
        finally:
            display.remove_task(task)
            self._counting -= 1
            if self._counting == 0:
                self._open.close()
                self._display = None


def _display(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
