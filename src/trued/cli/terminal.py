"""How trued looks in a terminal: one console for results, one for messages, quiet tables, and bars with time left.

Knows text, columns and counts. Knows nothing of what they mean.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

VERDICT_STYLES = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}


def console() -> Console:
    """Return a console on standard output; markup and guessing at colours are off, so any text prints as it is."""
    return Console(markup=False, highlight=False, emoji=False)


def messages() -> Console:
    """Return a console on standard error, for what is not the answer."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def plain_table(*columns: str, right: tuple[str, ...] = (), fixed: tuple[str, ...] = ()) -> Table:
    """Return an empty table without lines that folds long cells, at the console's width.

    Args:
        columns: the headings.
        right: those whose cells are aligned right, such as numbers.
        fixed: those that must not be folded.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    for name in columns:
        table.add_column(
            name, justify="right" if name in right else "left", no_wrap=name in fixed, overflow="fold",
        )  # fmt: skip
    return table


def verdict(word: str) -> Text:
    """Return a verdict in its colour."""
    return Text(word, style=VERDICT_STYLES.get(word, ""))


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, for machines: no colours, no folding."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def progress(shown: bool = True) -> Iterator[Progress]:
    """Yield a display of bars with time left, on standard error; where that is no terminal, it stays silent."""
    target = messages()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=target, transient=True, disable=not (shown and target.is_terminal)) as display:
        yield display


def duration(seconds: float) -> str:
    """Return a duration as people say it: `0.4 s`, `12 s`, `3 min`, `1 h 20 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
