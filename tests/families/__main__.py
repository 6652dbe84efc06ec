"""`python -m tests.families`: run the sweep, print what it says, and write the table into docs/models.md.

The package `trued` that is checked is the one that Python finds: PYTHONPATH=OTHER/src checks another tree.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .outcome import Outcome
from .page import read_table, save_table, write_page
from .sweep import PATIENCE, prepare, sweep


def main() -> int:
    options = _options()
    prepare()
    from .kinds import KINDS
    from .outcome import FAULTS

    kinds = list(KINDS) if options.write else options.kind
    known = {name for kind in kinds for name in KINDS[kind].families()}
    checks = {check for kind in kinds for check in KINDS[kind].checks}
    if strange := [*({*(options.only or ())} - known), *({*(options.check or ())} - checks)]:
        print(f"no family or check {strange[0]!r}; checks are {', '.join(sorted(checks))}", file=sys.stderr)
        return 2
    import trued

    print(f"trued from {Path(trued.__file__).parent}", flush=True)
    begun = time.monotonic()
    table = read_table(options.json)
    swept = faults = 0
    for kind in kinds:
        rows = table.setdefault(kind, {})
        names = [name for name in KINDS[kind].families() if not options.only or name in options.only]
        chosen = [check for check in KINDS[kind].checks if not options.check or check in options.check]
        for number, row in enumerate(
            sweep(names, chosen, KINDS[kind].run, jobs=options.jobs, patience=options.patience), start=1
        ):
            _tell(f"[{number}/{len(names)}] {kind}: {row.family} ({row.seconds:.0f} s)", row.outcomes)
            rows.setdefault(row.family, {}).update(row.outcomes)
            swept += 1
            faults += any(outcome.kind in FAULTS for outcome in row.outcomes.values())
            if options.json:
                save_table(options.json, table)
    print(f"{swept} families, {faults} of them with faults, {time.monotonic() - begun:.0f} s")
    if options.write:
        write_page(options.write, table, {kind: (KINDS[kind].families(), list(KINDS[kind].checks)) for kind in kinds})
    return 1 if faults else 0


def _tell(head: str, outcomes: dict[str, Outcome]) -> None:
    """Print a family: one line if all checks say the same, else a line for each that is not ok."""
    if len({(o.kind, o.words) for o in outcomes.values()}) == 1:
        outcome = next(iter(outcomes.values()))
        print(f"{head}: all {outcome.kind}" + (f": {outcome.words}" if outcome.words else ""), flush=True)
        return
    print(f"{head}: {sum(o.kind == 'ok' for o in outcomes.values())} of {len(outcomes)} ok", flush=True)
    for check, outcome in outcomes.items():
        if outcome.kind != "ok":
            print(f"    {check:16} {outcome}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.families", description=__doc__)
    parser.add_argument("--kind", nargs="+", default=["language"], choices=["language", "images", "texts"],
                        help="of models; all of them with --write")  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these families, as `model_type` spells them")
    parser.add_argument("--check", nargs="+", metavar="NAME", help="these checks")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="families at once")
    parser.add_argument("--patience", type=float, default=PATIENCE, metavar="SECONDS", help="that a family may take")
    parser.add_argument("--json", metavar="FILE", help="keep all outcomes here; those of other families stay")
    parser.add_argument("--write", metavar="FILE", help="write the page of tables, such as docs/models.md")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
