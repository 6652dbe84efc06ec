"""A progress bar for training: loss, tokens per second, time left; and what stands for bars in a log.

Knows steps and numbers. Knows nothing of what is trained. Where standard error is no terminal, a line a minute says how
far the work is.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

MINUTE = 60.0

_open: list[Progress] = []
"""The displays that lines are printed for, the outermost first: one thread prints for all."""


@contextmanager
def minute_lines(display: Progress, *, every: float | None = None) -> Iterator[None]:
    """Print a line on standard error every minute while the block runs: how far the display's tasks are.

    Args:
        display: its tasks are read, whether it is drawn or not.
        every: seconds between two lines; a minute by default.
    """
    _open.append(display)
    stop = threading.Event()
    thread = threading.Thread(target=_print_lines, args=(stop, MINUTE if every is None else every), daemon=True)
    first = len(_open) == 1
    if first:
        thread.start()
    try:
        yield
    finally:
        _open.remove(display)
        if first:
            stop.set()
            thread.join()


def _print_lines(stop: threading.Event, every: float) -> None:
    start = time.monotonic()
    while not stop.wait(every):
        parts = [line for display in list(_open) if (line := progress_line(display))]
        minutes = (time.monotonic() - start) / 60
        print(f"trued: {' · '.join([*parts, f'{minutes:.0f} min so far'])}", file=sys.stderr, flush=True)


def progress_line(display: Progress) -> str:
    """Say how far the unfinished tasks of a display are, such as `replies: 12 of 300, about 8 min left`."""
    parts = []
    for task in list(display.tasks):
        if task.finished:
            continue
        total = "" if task.total is None else f" of {task.total:.0f}"
        left = task.time_remaining
        rest = "" if not left else f", about {max(1, round(left / 60))} min left"
        parts.append(f"{task.description}: {task.completed:.0f}{total}{rest}")
    return "; ".join(parts)


class Show(Protocol):
    """Moves the bar to a step."""

    def __call__(self, step: int, loss: float, tokens: int, seconds: float) -> None: ...


@contextmanager
def step_bar(steps: int, *, done: int = 0, shown: bool = True) -> Iterator[Show]:
    """Yield a function that shows a completed step.

    Args:
        steps: how many steps the run has.
        done: how many of them were done before.
        shown: whether to show anything at all: a bar in a terminal, a line a minute elsewhere.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and console.is_terminal),
    )
    lines = minute_lines(bar) if shown and not console.is_terminal else nullcontext()
    task = bar.add_task("training", total=steps, completed=done, loss="–", rate="")

    def show(step: int, loss: float, tokens: int, seconds: float) -> None:
        rate = f"{tokens / seconds:,.0f} tokens/s" if tokens and seconds > 0 else ""
        bar.update(task, completed=step, loss=f"{loss:.4g}", rate=rate)

    with bar, lines:
        yield show
