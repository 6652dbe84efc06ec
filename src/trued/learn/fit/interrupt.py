"""Ctrl-C without damage: held back where a step must be whole, and turned into a sentence afterwards.

Knows the signal. Knows nothing of training.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a run after a whole step; the message says how to continue.

    Attributes:
        step: the last completed step.
        checkpoint: the folder that holds it, or None where nothing was written.
    """

    def __init__(self, step: int, steps: int, checkpoint: Path | None, *, resumable: bool) -> None:
        self.step = step
        self.checkpoint = checkpoint
        if checkpoint is not None:
            rest = f"the checkpoint is {checkpoint}; run the same again with resume to continue"
        elif resumable:
            rest = "nothing was written; run the same again"
        else:
            rest = "nothing was written; run the same again, with an output folder to be able to continue"
        super().__init__(f"interrupted after step {step} of {steps}: {rest}")


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended, so that what it changes is changed as a whole.

    Outside the main thread, where Python delivers no signals, this does nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        before(*caught[-1])
