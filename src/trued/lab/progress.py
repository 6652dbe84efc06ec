"""Progress bars with time left, on the error stream, so that standard output stays clean for `--json`.

Knows iterables. Knows nothing of what is counted. Silent where the error stream is no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


class Bars:
    """Any number of nested bars that share one live display, which exists only while one of them is counting."""

    def __init__(self, shown: bool = True) -> None:
        self.console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self.shown = shown and self.console.is_terminal
        self._display: Progress | None = None
        self._open = 0

    def say(self, text: str) -> None:
        """Print one line, above the bars if there are any."""
        if self.shown:
            self.console.print(text, style="dim")

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
            display.start()
        self._open += 1
        task = display.add_task(description, total=total)
        try:
            for item in items:
                yield item
                display.advance(task)
        finally:
            display.remove_task(task)
            self._open -= 1
            if self._open == 0:
                display.stop()
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
    )
