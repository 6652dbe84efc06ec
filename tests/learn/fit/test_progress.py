"""Where there is no terminal, a line at a time says how far the work is."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import Progress

from trued.lab.progress import Bars
from trued.learn.fit import progress as room
from trued.learn.fit.progress import minute_lines, progress_line, step_bar


def waited(capsys, words: str) -> str:
    """Return what was printed on standard error, once the words are among it."""
    printed = ""
    for _ in range(200):
        printed += capsys.readouterr().err
        if words in printed:
            break
        time.sleep(0.02)
    return printed


def test_a_line_says_what_is_not_finished() -> None:
    with Progress(console=Console(stderr=True), disable=True) as display:
        assert progress_line(display) == ""
        display.update(display.add_task("loading", total=2), completed=2)
        display.update(display.add_task("replies", total=300), completed=12)
        display.add_task("waiting", total=None)
        assert progress_line(display).split(", about")[0] == "replies: 12 of 300; waiting: 0"


def test_lines_come_while_nothing_moves_and_end_with_the_block(capsys, monkeypatch) -> None:
    with Progress(console=Console(stderr=True), disable=True) as display, minute_lines(display, every=0.02):
        display.add_task("replies", total=300)
        assert "trued: replies: 0 of 300 · 0 min so far\n" in waited(capsys, "min so far")
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_nested_work_is_one_line(capsys, monkeypatch) -> None:
    monkeypatch.setattr(room, "MINUTE", 0.05)
    bars = Bars()
    for _ in bars.track(["a"], "seed"):
        with step_bar(7) as show:
            show(3, 0.5, 0, 1.0)
            line = waited(capsys, "training: 3 of 7")
    assert "trued: seed: 0 of 1 · training: 3 of 7" in line
    assert all("seed" in part for part in line.splitlines() if "training" in part)


def test_what_is_not_shown_is_silent(capsys, monkeypatch) -> None:
    monkeypatch.setattr(room, "MINUTE", 0.01)
    for _ in Bars(shown=False).track(["a"], "seed"):
        with step_bar(7, shown=False):
            time.sleep(0.1)
    Bars(shown=False).log("a line")
    assert capsys.readouterr().err == ""
