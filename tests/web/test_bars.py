"""The bars that a process really draws are read back, however the text is cut, and other lines are kept."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trued.web.bars import ENVIRONMENT, LINES, Screen, Step

DRAW = """
import time
from trued.lab.progress import Bars
from trued.learn.fit.progress import step_bar
bars = Bars()
bars.log("before")
for _ in bars.track(range(2), "outer [seed]"):
    for _ in bars.track(range(3), "inner 4/5 left"):
        time.sleep(0.12)
    bars.log("between")
for _ in bars.track(iter(range(3)), "endless"):
    time.sleep(0.2)
with step_bar(3) as show:
    for step in (1, 2):
        show(step, 2.5, 2_000, 2.0)
        time.sleep(0.3)
bars.log("after training")
time.sleep(0.1)
print("after", flush=True)
"""


@pytest.fixture(scope="module")
def drawn():
    """What bars write where the run page reads them."""
    command, environment = [sys.executable, "-c", DRAW], {**os.environ, **ENVIRONMENT}
    return subprocess.run(command, env=environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE).stdout.decode()


def shown(screen, text, cuts):
    """Feed `text` cut at `cuts`; return the different states of the screen."""
    states = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        screen.feed(text[start:end])
        if not states or states[-1] != screen.steps:
            states.append(screen.steps)
    return states


def test_bars_are_read_as_they_were_drawn(drawn):
    screen = Screen()
    states = shown(screen, drawn, range(1, len(drawn)))
    assert (Step("outer [seed]", 0, 2, ""), Step("inner 4/5 left", 1, 3, "")) in states
    assert any(len(now) == 2 and now[0].done == 1 and now[1].done >= 1 for now in states)
    assert any(now and now[0].what == "endless" and now[0].done and now[0].total is None for now in states)
    assert any(
        now and (now[0].what, now[0].done, now[0].total, now[0].detail) == ("training", 2, 3, "loss 2.5 1,000 tokens/s")
        for now in states
    )
    counts = [now[0].done for now in states if len(now) == 2]
    assert counts == sorted(counts)
    assert screen.steps == ()
    assert list(screen.lines) == ["before", "between", "between", "after training", "after"]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3000)))
def test_where_the_text_is_cut_makes_no_difference(drawn, cuts):
    whole, parts = Screen(), Screen()
    whole.feed(drawn)
    shown(parts, drawn, sorted(min(cut, len(drawn)) for cut in cuts))
    assert (parts.steps, list(parts.lines)) == (whole.steps, list(whole.lines))


@given(st.text())
def test_whatever_a_process_writes_is_taken(text):
    screen = Screen()
    screen.feed(text + "\n")
    assert all(line.strip() and "\x1b[" not in line for line in screen.lines)


def test_lines_that_are_written_over_and_old_lines_go():
    screen = Screen()
    screen.feed("  1%|x | 1/100\r  2%|x | 2/100\r 100%|x| 100/100\n")
    screen.feed("".join(f"line {i}\n" for i in range(LINES)))
    assert screen.lines[0] == "line 0"
    assert screen.lines[-1] == f"line {LINES - 1}"


def test_a_line_without_an_end_does_not_fill_memory_nor_take_for_ever():
    screen = Screen()
    for _ in range(50):
        screen.feed(" " * 100_000)
    screen.feed("x 3/4 0:00:01 left\n")
    assert len(screen.lines) + len(screen._frame) == 1
    assert Step("a", 1, 4, "").share == 0.25
    assert Step("a", 1, None, "").share is None
