"""A progress bar for training: loss, tokens per second, time left.

Knows steps and numbers. Knows nothing of what is trained. It is silent where standard error is no terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Show(Protocol):
    """Moves the bar to a step."""

    def __call__(self, step: int, loss: float, tokens: int, seconds: float) -> None: ...


@contextmanager
def step_bar(steps: int, *, done: int = 0, shown: bool = True) -> Iterator[Show]:
    """Yield a function that shows a completed step.

    Args:
        steps: how many steps the run has.
        done: how many of them were done before.
        shown: whether to show anything at all.
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
    task = bar.add_task("training", total=steps, completed=done, loss="–", rate="")

    def show(step: int, loss: float, tokens: int, seconds: float) -> None:
        rate = f"{tokens / seconds:,.0f} tokens/s" if tokens and seconds > 0 else ""
        bar.update(task, completed=step, loss=f"{loss:.4g}", rate=rate)

    with bar:
        yield show
