"""`python -m tests.families`: run the sweep, print what it says, and write the table into docs/models.md.

The package `trued` that is checked is the one that Python finds: PYTHONPATH=OTHER/src checks another tree.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from .sweep import PATIENCE, prepare, sweep


def main() -> int:
    options = _options()
    prepare()
    from .causal import run_family
    from .checks import CHECKS
    from .configurations import families
    from .outcome import FAULTS

    names = options.only or families()
    checks = options.check or list(CHECKS)
    if strange := [name for name in names if name not in families()] + [name for name in checks if name not in CHECKS]:
        print(f"no family or check {strange[0]!r}; checks are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    import trued

    print(f"trued from {Path(trued.__file__).parent}")
    rows = []
    begun = time.monotonic()
    for row in sweep(names, checks, run_family, jobs=options.jobs, patience=options.patience):
        rows.append(row)
        _tell(row.family, row.outcomes, row.seconds, len(rows), len(names))
    rows.sort(key=lambda row: row.family)
    if options.json:
        table = {row.family: {check: vars(outcome) for check, outcome in row.outcomes.items()} for row in rows}
        Path(options.json).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    faults = [(row.family, check) for row in rows for check, o in row.outcomes.items() if o.kind in FAULTS]
    print(f"{len(rows)} families, {len(faults)} faults in {len({name for name, _ in faults})} of them, "
          f"{time.monotonic() - begun:.0f} s")  # fmt: skip
    return 1 if faults else 0


def _tell(name: str, outcomes: dict, seconds: float, number: int, total: int) -> None:
    """Print a family: one line if all checks say the same, else a line for each that is not ok."""
    head = f"[{number}/{total}] {name} ({seconds:.0f} s)"
    if len({(o.kind, o.words) for o in outcomes.values()}) == 1:
        outcome = next(iter(outcomes.values()))
        print(f"{head}: all {outcome.kind}" + (f": {outcome.words}" if outcome.words else ""), flush=True)
        return
    passed = sum(o.kind == "ok" for o in outcomes.values())
    print(f"{head}: {passed} of {len(outcomes)} ok", flush=True)
    for check, outcome in outcomes.items():
        if outcome.kind != "ok":
            print(f"    {check:16} {outcome}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.families", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these families, as `model_type` spells them")
    parser.add_argument("--check", nargs="+", metavar="NAME", help="these checks")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="families at once")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS", help="that a family may take")
    parser.add_argument("--json", metavar="FILE", help="write all outcomes here")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
