"""The process that carries out one experiment for the run page: `python -m trued.web.job`, its order on standard input.

Knows the executor and one line of JSON each way. Knows nothing of requests. It says on standard output which run it
opened, and how that ended, one JSON object a line; progress bars go to standard error, as in a terminal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from trued.errors import InputError
from trued.lab import executor
from trued.lab.experiment import load_experiment
from trued.lab.runs import Run, RunStore


class Announced(RunStore):
    """A run store that says which run was opened in it, new or continued."""

    def __init__(self, url: str | None, out: TextIO, seeds: list[int]) -> None:
        super().__init__(url)
        self.out, self.seeds = out, seeds

    def start(self, *args: Any, **kwargs: Any) -> Run:
        """As `RunStore.start`, and say so."""
        return self._announced(super().start(*args, **kwargs))

    def find_resumable(self, *args: Any, **kwargs: Any) -> Run | None:
        """As `RunStore.find_resumable`, and say so if there is one."""
        run = super().find_resumable(*args, **kwargs)
        return run and self._announced(run)

    def _announced(self, run: Run) -> Run:
        say(self.out, run=run.id, seeds=self.seeds)
        return run


def carry_out(order: Mapping[str, Any], out: TextIO) -> int:
    """Run what `order` names and say on `out` how it went.

    Args:
        order: slug, scale, seeds (how many, or None), model (or None), fresh, and the database's URL (or None).
        out: receives {"run", "seeds"} once the run is open, then {"report"} or {"error"}.

    Returns:
        The exit code: 0 fine, 2 something that the user can fix, 70 anything else, 130 stopped.
    """
    try:
        seeds = order["seeds"]
        wanted = list(range(seeds)) if seeds else list(load_experiment(order["slug"]).seeds)
        result = executor.run(
            order["slug"], scale=order["scale"], seeds=seeds, model=order["model"], fresh=order["fresh"],
            store=Announced(order["database_url"], out, wanted),
        )  # fmt: skip
    except InputError as error:
        return say(out, error=sentence(error)) or 2
    except KeyboardInterrupt as error:
        return say(out, error=str(error) or "interrupted; what was finished is kept") or 130
    except Exception as error:
        say(out, error=f"{type(error).__name__}: {sentence(error)}")
        raise
    return say(out, report=str(result.report)) or 0


def sentence(error: BaseException) -> str:
    """Return an error with the notes that were added on its way up, such as how to continue."""
    return ". ".join(" ".join(text.split()).rstrip(".") for text in (str(error), *getattr(error, "__notes__", ())))


def say(out: TextIO, **what: Any) -> None:
    """Write one JSON object as a line, at once."""
    print(json.dumps(what), file=out, flush=True)


def main() -> int:
    """Read the order from standard input and carry it out."""
    # A server in the background ignores Ctrl-C, and its children would; the stop button sends one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    order = json.loads(sys.stdin.readline())
    # An experiment may print; what is said on standard output is only ours.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return carry_out(order, out)


if __name__ == "__main__":
    sys.exit(main())
