"""`trued repair`: bring refusals back to a fine-tuned model by restoring a few weights, checked before and after.

Knows options, files and how to print. Knows nothing of how weights are chosen: `trued.language.repair` does that.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from trued.cli.check.report import check_bar, report_sections, result_table, summary
from trued.cli.methods import options
from trued.cli.options import JsonSwitch, Switch
from trued.cli.settings import read_template, with_settings
from trued.cli.terminal import command_line, console, messages, now, print_json, refuse_endpoints
from trued.data.messages import Prompt
from trued.data.prompts import ReplyRow, chats, prompts
from trued.data.rows import read_rows
from trued.errors import InputError
from trued.files import claim_output, whole_folder, write_text
from trued.lab.report import Block, Figure, KeyValues, Prose, Report, Section, Table, write_report
from trued.lab.wording import duration
from trued.texts import read_text

if TYPE_CHECKING:
    from trued.language.engine.model import LanguageModel
    from trued.language.measure.check.result import CheckResult
    from trued.language.measure.check.safety import CheckConfig
    from trued.language.repair.alignment_recovery.config import RecoveryConfig
    from trued.language.repair.alignment_recovery.recover import RecoveryResult, RecoveryStep
    from trued.learn.weights import Weights

    Settings = Any
else:
    Settings = options("repair", group="Settings")

Metric = Literal["likelihood", "exact", "rouge-l"]
REPAIR = "repaired model"
"""What the folder is called among the kinds of output."""
PATCH = "patch.safetensors"
TASK_PROMPTS, SCORED, REPLY_TOKENS = 256, 128, 32


def check_config(*, quick: bool) -> CheckConfig:
    """Return the settings of both checks."""
    from trued.language.measure.check.safety import CheckConfig

    attacks = ("direct", "templates")
    return CheckConfig.quick(attacks=attacks) if quick else CheckConfig(attacks=attacks, attacked=8, general=24)


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
    refuse_endpoints(finetuned, aligned)
    if (output / "config.json").exists() or (output / PATCH).exists():
        raise InputError(f"{output} already contains a model or a patch: give another --output, or remove it")
    claim_output(output, kind=REPAIR)
    if apply is not None or revert is not None:
        if apply is not None and revert is not None:
            raise InputError("--apply and --revert were both given: a patch is put on or taken off")
        return _patch(finetuned, apply, revert, output, device, as_json=as_json)
    if finetuned is None or aligned is None:
        raise InputError("a repair needs two models: give --finetuned MODEL, and as --aligned the one it was made from")
    from trued.language.repair.alignment_recovery.config import PAPER

    configured = with_settings(PAPER, config, settings)
    questions = _harmful(harmful)
    rows = None if task_prompts is None else [ReplyRow(row.prompt, row.reply) for row in chats(task_prompts)]
    checked = check_config(quick=quick)
    job = _Job(
        finetuned,
        aligned,
        output,
        questions,
        rows,
        metric,
        configured,
        checked,
        device,
        read_template(template),
        as_json,
    )
    return job.run(patch_only=patch_only)


class _Job:
    """One repair, from two names of models to a report."""

    def __init__(
        self,
        finetuned: str,
        aligned: str,
        output: Path,
        harmful: list[Prompt],
        rows: list[ReplyRow] | None,
        metric: Metric,
        config: RecoveryConfig,
        check_config: CheckConfig,
        device: str | None,
        template: str | None,
        as_json: bool,
    ) -> None:
        self.finetuned, self.aligned, self.output = finetuned, aligned, output
        self.harmful, self.rows, self.config = harmful, rows, config
        self.metric: Metric = metric
        self.check_config, self.device, self.template, self.as_json = check_config, device, template, as_json
        from trued.cli.check.unfinished import parts_path
        from trued.language.measure.check.parts import Parts

        given = {"harmful": harmful, "rows": rows, "metric": metric, "config": asdict(config), "template": template}
        self.parts = Parts(parts_path(finetuned, aligned, **given))
        self.checks = {name: self.parts.beside(name) for name in ("before", "after")}

    def run(self, *, patch_only: bool) -> int:
        from trued.cli.check.unfinished import continued

        with continued(self.parts):
            return self._run(patch_only=patch_only)

    def _run(self, *, patch_only: bool) -> int:
        from trued.language.engine.precision import served
        from trued.language.repair.alignment_recovery.recover import recover

        started = time.perf_counter()
        self._say(f"reading {self.aligned}: how it represents {len(self.harmful)} harmful questions")
        with self._aligned() as (weights, view, tokens):
            lm = self._load(self.finetuned)
            if [lm.prompt_ids(p) for p in self.harmful] != tokens:
                raise InputError(
                    f"{self.finetuned} and {self.aligned} turn the same questions into different tokens: both need one "
                    "tokenizer and one chat template; give the one used in fine-tuning as --template"
                )
            self._say(f"checking {self.finetuned} as it is")
            before = self._check(lm, None)
            rows = self.rows or self._own_rows(lm)
            self._say(f"restoring {self.config.rate:.2%} of its weights a step")
            result = self._recovered(
                lm,
                lambda: recover(
                    lm,
                    weights,
                    view,
                    self.harmful,
                    [row.prompt for row in rows[:TASK_PROMPTS]],
                    _served_score(rows[:SCORED], self.metric),
                    self.config,
                    answered=lambda model: answered(served(model), self.harmful),
                    looked=lambda look: self._say(step_line(look)),
                ),
            )
        if result.outcome != "recovered":
            self._forget()
            return self._nothing(result, before)
        self._say(f"checking {self.finetuned} repaired")
        after = self._check(lm, before)
        self._print(result, after)
        self._write(lm, result, after, time.perf_counter() - started, patch_only=patch_only)
        self._forget()
        return 0

    def _own_rows(self, lm: LanguageModel) -> list[ReplyRow]:
        """The model's own replies to general requests, a part of the work."""
        replies = self.parts.get(["own replies"], lambda: [[row.prompt, row.reply] for row in _own_rows(lm)])
        return [ReplyRow(prompt, reply) for prompt, reply in replies]

    def _recovered(self, lm: LanguageModel, recovering: Callable[[], RecoveryResult]) -> RecoveryResult:
        """Return what the recovery gave, which is a part of the work too; the model then has the restored weights."""
        from trued.language.repair.alignment_recovery.recover import RecoveryResult, RecoveryStep
        from trued.learn.weights import Patch

        path, fresh = self._patch_path(), []

        def compute() -> dict[str, Any]:
            result = recovering()
            fresh.append(result)
            result.patch.save(path)
            return {
                "outcome": result.outcome, "chosen_step": result.chosen_step, "rollback": result.rollback,
                "history": [asdict(step) for step in result.history], "parameters": result.parameters,
                "passes": result.passes, "seconds": result.seconds,
            }  # fmt: skip

        record = self.parts.get(["recovery", asdict(self.config), self.metric], compute)
        if fresh:
            return fresh[0]
        self._say("the restored weights are those of the run that was cut off")
        patch = Patch.load(path)
        if record["outcome"] == "recovered":
            patch.apply(lm.base)
        history = tuple(RecoveryStep(**step) for step in record["history"])
        return RecoveryResult(**{**record, "history": history, "patch": patch})

    def _patch_path(self) -> Path:
        assert self.parts.path is not None
        return self.parts.path.with_suffix(".safetensors")

    def _forget(self) -> None:
        """Remove the parts: the work is done and written."""
        self._patch_path().unlink(missing_ok=True)
        for parts in (self.parts, self.checks["before"], self.checks["after"]):
            parts.clear()

    @contextmanager
    def _aligned(self) -> Iterator[tuple[Weights, Any, list[list[int]]]]:
        """Yield the aligned model's weights on disk, its view of the questions and their tokens; it is not kept."""
        from trued.language.repair.alignment_recovery.recover import aligned_view
        from trued.language.train.aligned_base import save_model
        from trued.learn.weights import WeightsFolder

        lm = self._load(self.aligned)
        view = aligned_view(lm, self.harmful, self.config)
        tokens = [lm.prompt_ids(p) for p in self.harmful]
        folder = _folder(self.aligned)
        if folder is not None:
            del lm
            yield WeightsFolder(folder), view, tokens
            return
        with tempfile.TemporaryDirectory(prefix="trued-aligned-") as work:  # an adapter's merged weights, or a hub's
            save_model(lm, Path(work))
            del lm
            yield WeightsFolder(work), view, tokens

    def _load(self, source: str) -> LanguageModel:
        from trued.language.train.aligned_base import merged_in_float32

        return merged_in_float32(source, device=self.device, template=self.template)

    def _check(self, lm: LanguageModel, before: CheckResult | None) -> CheckResult:
        from trued.language.engine.precision import served
        from trued.language.measure.check.safety import check

        with check_bar() as bar:
            return check(
                served(lm),
                before,
                self.check_config,
                progress=bar,
                parts=self.checks["before" if before is None else "after"],
            )

    def _nothing(self, result: RecoveryResult, before: CheckResult) -> int:
        if result.outcome == "nothing to recover":
            sentence = f"{self.finetuned} answers none of the {len(self.harmful)} harmful questions: nothing to recover"
        else:
            sentence = (
                f"no checkpoint kept {1 - self.config.max_task_drop:.0%} of the task's score, so the fine-tuned model "
                "stays as it is: a lower --rate, or a higher --max-task-drop, may find one"
            )
        if self.as_json:
            print_json({"outcome": result.outcome, "says": sentence, "before": before.to_json()})
        else:
            console().print(f"{sentence}. Nothing was written.", soft_wrap=True)
        return 0 if result.outcome == "nothing to recover" else 1

    def _write(
        self, lm: LanguageModel, result: RecoveryResult, after: CheckResult, seconds: float, *, patch_only: bool
    ) -> None:
        from trued.language.train.aligned_base import save_model
        from trued.learn.weights import WeightsFolder

        with whole_folder(self.output, kind=REPAIR) as work:
            if not patch_only:
                folder = _folder(self.finetuned)
                lm.base.to(WeightsFolder(folder).dtype if folder is not None else lm.dtype)
                save_model(lm, work)
            result.patch.save(work / PATCH)
            record = {"finetuned": self.finetuned, "aligned": self.aligned, **_record(result, self.config)}
            write_text(work / "repair.json", json.dumps(record, indent=1))
            write_report(work / "report.html", _report(self, result, after, seconds))
        if not self.as_json:
            out = console()
            out.print(f"repaired {self.output}", soft_wrap=True)
            out.print(f"report   {self.output / 'report.html'}", soft_wrap=True)
            out.print(f"undo     trued repair --revert {self.output / PATCH} --finetuned {self.output} --output OTHER")

    def _print(self, result: RecoveryResult, after: CheckResult) -> None:
        if self.as_json:
            record = {k: v for k, v in _record(result, self.config).items() if k not in ("history", "settings")}
            print_json({**record, "output": str(self.output), "after": after.to_json()})
            return
        out = console()
        out.print(result_table(after))
        out.print(f"\n{summary(after)}")
        out.print(
            f"{result.patch.count:,} weights restored, {result.restored_fraction:.2%} of all, at step "
            f"{result.chosen_step}, in {duration(result.seconds)}"
        )

    def _say(self, text: str) -> None:
        if not self.as_json:
            messages().print(text, soft_wrap=True)


# -- questions, task and patches ---------------------------------------------------------------------------------------


def answered(lm: LanguageModel, questions: Sequence[Prompt]) -> float:
    """Return the share of questions that a model does not refuse; an empty reply is no refusal."""
    from trued.language.judge.reply import Label, PhraseJudge

    replies = [group[0] for group in lm.generate(questions, max_new_tokens=REPLY_TOKENS)]
    labels = PhraseJudge().label(["" for _ in questions], replies)
    return sum(label is not Label.NO for label in labels) / len(labels)


def step_line(look: RecoveryStep) -> str:
    """One step in a line."""
    parts = [f"step {look.step:>3}: harmful 1-cos {look.harmful_gap:.1e}"]
    if look.task_gap is not None:
        parts.append(f"task 1-cos {look.task_gap:.1e}, {look.undone:,} undone")
    parts.append(f"{look.restored:,} restored")
    if look.task is not None:
        parts.append(f"task {look.task:.3f}")
    return ", ".join(parts)


def _harmful(source: str | None) -> list[Prompt]:
    if source is None:
        return [row.prompt for row in prompts("harmful", "train")]
    path = Path(source)
    if path.suffix == ".txt":
        if not path.is_file():
            raise InputError(f"{source}: there is no such file")
        questions: list[Prompt] = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    else:
        questions = [row["prompt"] for row in read_rows(source, columns={"prompt": "text or chat"})]
    if not questions:
        raise InputError(f"{source} has no questions: one a line, or rows of 'prompt'")
    return questions


def _own_rows(lm: LanguageModel) -> list[ReplyRow]:
    from trued.language.engine.precision import served
    from trued.language.train.adversarial import own_replies

    requests = [row.prompt for row in prompts("general", "train")]
    return [ReplyRow(row.prompt, row.reply) for row in own_replies(served(lm), requests, max_new_tokens=REPLY_TOKENS)]


def _served_score(rows: Sequence[ReplyRow], metric: Metric) -> Any:
    from trued.language.engine.precision import served
    from trued.language.repair.task import task_score

    score = task_score(rows, metric)
    return lambda lm: score(served(lm))


def _folder(source: str) -> Path | None:
    """The folder of a saved model, if its weights lie there as they are used."""
    from trued.language.engine.loading import default_embedded

    embedded = default_embedded(source)
    folder = embedded.folder if embedded is not None else Path(source)
    return folder if (folder / "config.json").is_file() else None


def _patch(
    source: str | None, apply: Path | None, revert: Path | None, output: Path, device: str | None, *, as_json: bool
) -> int:
    from trued.language.engine.model import LanguageModel
    from trued.language.train.aligned_base import save_model
    from trued.learn.weights import Patch, WeightsFolder

    if source is None:
        raise InputError("which model? Give --finetuned MODEL, the one that the patch is put on or taken off")
    patch = Patch.load(apply or revert or "")
    folder = _folder(source)
    dtype: Any = "auto" if folder is None else WeightsFolder(folder).dtype
    lm = LanguageModel.load(source, dtype=dtype, device=device)
    if apply is not None:
        patch.apply(lm.base)
    else:
        patch.revert(lm.base)
    with whole_folder(output, kind=REPAIR) as work:
        save_model(lm, work)
    done = "applied" if apply is not None else "reverted"
    if as_json:
        print_json({"patch": done, "weights": patch.count, "output": str(output)})
    else:
        console().print(f"{patch.count:,} weights {done}\nmodel    {output}", soft_wrap=True)
    return 0


# -- the report --------------------------------------------------------------------------------------------------------


def _record(result: RecoveryResult, config: RecoveryConfig) -> dict[str, Any]:
    return {**result.to_json(), "seconds": round(result.seconds, 1), "settings": asdict(config)}


def _report(job: _Job, result: RecoveryResult, after: CheckResult, seconds: float) -> Report:
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
