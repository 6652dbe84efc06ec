"""The sweep of causal language models: `run_family` runs the checks of one family and reports each outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .checks import CHECKS, family
from .outcome import Outcome, outcome_of


def run_family(name: str, checks: Sequence[str], report: Callable[[str, Outcome], None]) -> None:
    """Run checks on a family. If its model cannot be made, or trued does not load it, all of them say so."""

    def unable() -> float:
        with family(name) as subject:
            loaded = outcome_of(lambda: CHECKS["load"](subject))
            for check in checks:
                if check == "load" or loaded.kind in ("refused", "CRASH"):
                    report(check, loaded)
                else:
                    report(check, outcome_of(lambda run=CHECKS[check]: run(subject)))
        return 0.0

    made = outcome_of(unable)
    if made.kind != "ok":
        for check in checks:
            report(check, made)
