"""`trued repair`: bring refusals back to a fine-tuned model by restoring a few weights, checked before and after.

Knows options, and what is refused before a model is read. The work is `trued.cli.repair.job`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from trued.cli.methods import options
from trued.cli.options import JsonSwitch, Switch
from trued.cli.settings import read_template, with_settings
from trued.cli.terminal import refuse_endpoints
from trued.errors import InputError

if TYPE_CHECKING:
    Settings = Any
else:
    Settings = options("repair")

Metric = Literal["likelihood", "exact", "rouge-l"]


def repair(
    finetuned: Annotated[str | None, Parameter(name=["--finetuned", "--model"])] = None,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    aligned: str | None = None,
    task_prompts: str | None = None,
    metric: Metric = "likelihood",
    harmful: str | None = None,
    apply: Path | None = None,
    revert: Path | None = None,
    patch_only: Switch = False,
    quick: Switch = False,
    device: str | None = None,
    template: str | None = None,
    config: Path | None = None,
    as_json: JsonSwitch = False,
    settings: Settings = None,
) -> int:
    """Restore alignment that fine-tuning lost (arXiv 2504.09757): a fraction of a percent of the weights goes back.

    A repair that was cut off is continued by the same command.

    Both models need one architecture, and memory for two copies of one in float32. Exit code 1 if no checkpoint kept
    the task.

    Parameters
    ----------
    finetuned
        The model to repair, or to take a patch off: a local folder, a hub id, or the folder of a PEFT adapter, which is
        merged in float32.
    output
        The folder for the repaired model, patch.safetensors, repair.json and report.html.
    aligned
        The model that it was made from, which still refuses; the same kinds.
    task_prompts
        Rows of the fine-tuning task (prompt and completion, or messages), of which the first 256 are used; without
        them, the fine-tuned model's own replies to shipped general requests stand for what it must not lose.
    metric
        How the task is scored: likelihood of the wanted replies, exact, or rouge-l.
    harmful
        Harmful questions without answers: a text file with one a line, or rows of prompt; the shipped training
        requests otherwise. The check uses others.
    apply
        Put this patch on --finetuned, and write the result to --output.
    revert
        Take this patch off --finetuned, and write the result to --output.
    patch_only
        Write no repaired model, only the patch.
    quick
        A quarter of the prompts in both checks: wide intervals.
    device
        Such as cpu or cuda:1.
    template
        The chat template used in fine-tuning, if it is not the tokenizer's own; "none" for plain text.
    config
        A TOML or YAML file of the settings below; options on the command line go before it.
    """
    from trued.cli.repair.job import Job, check_config
    from trued.cli.repair.patch import PATCH, REPAIR, move_patch
    from trued.cli.repair.questions import harmful_questions
    from trued.data.prompts import ReplyRow, chats
    from trued.files import claim_output
    from trued.language.repair.alignment_recovery.config import PAPER

    refuse_endpoints(finetuned, aligned)
    if (output / "config.json").exists() or (output / PATCH).exists():
        raise InputError(f"{output} already contains a model or a patch: give another --output, or remove it")
    claim_output(output, kind=REPAIR)
    if apply is not None or revert is not None:
        if apply is not None and revert is not None:
            raise InputError("--apply and --revert were both given: a patch is put on or taken off")
        return move_patch(finetuned, apply, revert, output, device, as_json=as_json)
    if finetuned is None or aligned is None:
        raise InputError("a repair needs two models: give --finetuned MODEL, and as --aligned the one it was made from")
    job = Job(
        finetuned=finetuned,
        aligned=aligned,
        output=output,
        harmful=harmful_questions(harmful),
        rows=None if task_prompts is None else [ReplyRow(row.prompt, row.reply) for row in chats(task_prompts)],
        metric=metric,
        config=with_settings(PAPER, config, settings),
        check_config=check_config(quick=quick),
        device=device,
        template=read_template(template),
        as_json=as_json,
    )
    return job.run(patch_only=patch_only)
