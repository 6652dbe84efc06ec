"""`trued report`: the runs of this machine's store, and the report of one of them written again.

Knows how to list runs. Knows nothing of what they measured.
"""

from __future__ import annotations

from pathlib import Path

from trued.cli.options import JsonSwitch
from trued.cli.terminal import console, plain_table, print_json


def report(
    run: str | None = None,
    /,
    *,
    output: Path | None = None,
    paper: str | None = None,
    as_json: JsonSwitch = False,
) -> None:
    """List the runs, or write the report of one again.

    Parameters
    ----------
    run
        The first letters of a run's id, as the list shows it. Without it, the runs are listed.
    output
        The folder for report, evidence and figures.
    paper
        List the runs of this paper only.
    """
    if run is not None:
        from trued.cli.run import print_result
        from trued.lab.results import rewrite

        result = rewrite(run, output)
        if as_json:
            print_json({"report": str(result.report), "folder": str(result.folder)})
        else:
            print_result(console(), result)
        return
    _list(paper, as_json)


def _list(paper: str | None, as_json: bool) -> None:
    from trued.lab.runs import RunStore
    from trued.papers import catalogue

    if paper is not None:
        catalogue.card(paper)  # an unknown name is an error, not an empty list
    rows = RunStore().runs(paper)
    if as_json:
        keys = ("id", "slug", "scale", "model", "status")
        print_json([{**{key: getattr(row, key) for key in keys}, "started": row.started.isoformat()} for row in rows])
        return
    out = console()
    if not rows:
        out.print("No runs yet. `trued run c-advul --scale tiny` makes one in a minute.")
        return
    table = plain_table("run", "paper", "scale", "model", "status", "started", fixed=("run", "paper", "status"))
    for row in rows:
        table.add_row(row.id[:8], row.slug, row.scale, row.model, row.status, f"{row.started:%Y-%m-%d %H:%M}")
    out.print(table)
    out.print("\ntrued report RUN writes the report of a finished run again")
