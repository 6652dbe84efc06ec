"""What a repair prints and writes: one line a step, the record of the recovery, and the HTML report.

Knows results and how to word them. Knows nothing of models.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trued.cli.check.report import report_sections, summary
from trued.cli.terminal import command_line, now
from trued.lab.report import Block, Figure, KeyValues, Prose, Report, Section, Table
from trued.lab.wording import duration

if TYPE_CHECKING:
    from trued.cli.repair.job import Job
    from trued.language.measure.check.result import CheckResult
    from trued.language.repair.alignment_recovery.config import RecoveryConfig
    from trued.language.repair.alignment_recovery.recover import RecoveryResult, RecoveryStep


def step_line(look: RecoveryStep) -> str:
    """One step in a line."""
    parts = [f"step {look.step:>3}: harmful 1-cos {look.harmful_gap:.1e}"]
    if look.task_gap is not None:
        parts.append(f"task 1-cos {look.task_gap:.1e}, {look.undone:,} undone")
    parts.append(f"{look.restored:,} restored")
    if look.task is not None:
        parts.append(f"task {look.task:.3f}")
    return ", ".join(parts)


def recovery_record(result: RecoveryResult, config: RecoveryConfig) -> dict[str, Any]:
    """Return what `repair.json` says of the recovery."""
    return {**result.to_json(), "seconds": round(result.seconds, 1), "settings": asdict(config)}


def repair_report(job: Job, result: RecoveryResult, after: CheckResult, seconds: float) -> Report:
    """Return the report: the check of the repaired model beside that before, and how the weights were restored."""
    rows = [
        [
            step.step,
            "with rollback" if step.rollback else "",
            f"{step.harmful_gap:.2e}",
            "–" if step.task_gap is None else f"{step.task_gap:.2e}",
            f"{step.restored:,}",
            "–" if step.task is None else f"{step.task:.3f}",
        ]
        for step in result.history
    ]
    columns = ["step", "", "harmful 1-cos before it", "task 1-cos", "restored", "task score"]
    blocks: list[Block] = [
        Prose(
            [
                f"{result.patch.count:,} of {result.parameters:,} weights ({result.restored_fraction:.2%}) have the "
                f"value that they have in {job.aligned} again; step {result.chosen_step} was chosen. patch.safetensors "
                "holds the places with the values before and after, and can be taken off again."
            ]
        ),
        Figure("Distance from the aligned view", _gap_curve(result), "1 - cos to d_H by step, on a log scale."),
        Table(columns, rows, caption="Every step, those of a warm-up that was discarded included."),
        KeyValues({"command": command_line(), "date": now(), "finetuned": job.finetuned, "aligned": job.aligned}),
        KeyValues(asdict(job.config)),
    ]
    return Report(
        title=f"{job.finetuned}: check, repair, check again",
        sections=[*report_sections(after), Section("How it was repaired", blocks)],
        kicker="trued repair",
        facts=[duration(seconds), now()[:10]],
        lead=summary(after),
    )


def _gap_curve(result: RecoveryResult) -> str:
    from trued.lab.figure import draw_svg

    def draw(axes: Any) -> None:
        for rollback, label in ((False, "recovery"), (True, "recovery with rollback")):
            steps = [step for step in result.history if step.rollback is rollback]
            if steps:
                axes.plot([s.step - 1 for s in steps], [s.harmful_gap for s in steps], marker="o", label=label)
        axes.set_yscale("log")
        axes.set_xlabel("steps taken")
        axes.set_ylabel("1 - cos to the aligned view")
        axes.legend(frameon=False)

    return draw_svg(draw)
