"""Every family in a process of its own: one that hangs or dies ends neither the sweep nor what it said before.

The processes are forked from one that has imported torch and transformers, so that a family costs seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from .outcome import Outcome

PATIENCE = 240.0
"""Seconds that a family may take."""

Report = Callable[[str, Outcome], None]
Subject = Callable[[str, Sequence[str], Report], None]


@dataclass
class Row:
    """A family and what came of each check, by the check's name."""

    family: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0


def sweep(
    names: Sequence[str], checks: Sequence[str], subject: Subject, *, jobs: int = 1, patience: float = PATIENCE
) -> Iterator[Row]:
    """Run `subject(name, checks, report)` for each name in a process of its own, and yield its row when it ends."""
    context: Any = multiprocessing.get_context("fork")
    waiting = list(names)
    running: dict[Any, tuple[Any, Row, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(subject, name, checks, sender), daemon=True)
            process.start()
            sender.close()
            running[receiver] = (process, Row(name), time.monotonic())
        for receiver in wait(list(running), timeout=1.0):
            process, row, _ = running[receiver]  # pyright: ignore
            try:
                check, outcome = receiver.recv()  # pyright: ignore
                row.outcomes[check] = outcome
            except EOFError:
                process.join()
                yield _ended(running, receiver, checks, f"the process ended with code {process.exitcode}")
        for receiver, (process, _, started) in list(running.items()):
            if time.monotonic() - started > patience:
                process.kill()
                process.join()
                yield _ended(running, receiver, checks, f"no answer in {patience:.0f} seconds")


def _ended(running: dict[Any, Any], receiver: Any, checks: Sequence[str], why: str) -> Row:
    _, row, started = running.pop(receiver)
    receiver.close()
    row.seconds = time.monotonic() - started
    for check in checks:
        row.outcomes.setdefault(check, Outcome("CRASH", why))
    return row


def _work(subject: Subject, name: str, checks: Sequence[str], sender: Any) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    warnings.filterwarnings("ignore")
    subject(name, checks, lambda check, outcome: sender.send((check, outcome)))
    sender.close()


def prepare() -> None:
    """Import in this process what every family needs, on one thread, quietly."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import peft  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast  # noqa: F401
    from transformers.utils import logging

    import trued.language.engine.model  # noqa: F401

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
