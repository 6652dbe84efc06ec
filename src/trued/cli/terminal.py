"""How trued looks in a terminal: one console for results, one for messages, and quiet tables that fit 80 columns.

Knows text, columns and claim rows as the lab words them. Knows nothing of what was measured.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trued.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    from trued.lab.rows import ClaimRow

VERDICT_STYLES = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}


_command: list[str] = []


def remember_command(words: Iterable[str]) -> None:
    """Keep the words after `trued`, which reports show."""
    _command[:] = words


def command_line() -> str:
    """Return the command that is running, as it would be typed again."""
    return shlex.join(["trued", *_command])


def now() -> str:
    """Return date and time, with the zone, as reports show them."""
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"


class _Console(Console):
    """A console that leaves a closed pipe to the caller; rich's own would end the process as if a gate fell short."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Return a console on standard output; markup and guessing at colours are off, so any text prints as it is."""
    return _Console(markup=False, highlight=False, emoji=False)


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
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    for name in columns:
        table.add_column(
            name, justify="right" if name in right else "left", no_wrap=name in fixed, overflow="fold",
        )  # fmt: skip
    return table


def verdict(word: str) -> Text:
    """Return a verdict in its colour."""
    from rich.text import Text

    return Text(word, style=VERDICT_STYLES.get(word, ""))


def refuse_endpoints(*models: str | None) -> None:
    """Refuse an endpoint where a model is needed that runs here; call it before anything else.

    Raises:
        InputError: one of them is NAME@URL.
    """
    for model in models:
        if model is not None and "@http" in model:
            raise InputError(
                f"{model} is an endpoint, and endpoints cannot be checked or attacked yet: give a folder or a hub id"
            )


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, for machines: no colours, no folding."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def claims_table(rows: Iterable[ClaimRow], width: int) -> RenderableType:
    """Return claims with the paper's figures, ours, and the verdict; the reason and the control stand below each.

    Args:
        rows: as `trued.lab.rows.claim_rows` gives them.
        width: of the terminal, in columns; from 60 on it is readable.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    paper, here, word = max(12, width // 5), max(18, width // 4), 13
    columns = (width - paper - here - word - 7, paper, here, word)

    def line(*cells: str | Text, style: str = "") -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0))
        for size in columns:
            table.add_column(width=size, overflow="fold", style=style)
        table.add_row(*cells)
        return Padding(table, (0, 0, 0, 1))

    parts: list[RenderableType] = [line("claim", "paper", "here [95 %]", "verdict", style="dim")]
    for row in rows:
        ours = f"{row.ours}\n{row.interval}" if row.interval else row.ours
        parts += ["", line(row.says, row.paper, ours, verdict(row.verdict))]
        if row.why:
            parts.append(Padding(Text(row.why), (0, 0, 0, 3)))
        if row.control:
            parts.append(Padding(Text(f"control: {row.control}", "dim"), (0, 0, 0, 3)))
    return Group(*parts)


@contextmanager
def progress(visible: bool = True) -> Iterator[Progress]:
    """Yield a display of bars with time left, on standard error; where that is no terminal, a line a minute."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from trued.learn.fit.progress import minute_lines

    target = messages()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    drawn = target.is_terminal
    display = Progress(*columns, console=target, transient=True, disable=not (visible and drawn))
    with display, minute_lines(display) if visible and not drawn else nullcontext():
        yield display
