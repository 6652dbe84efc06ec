"""One repair, from two names of models to a report: check, restore weights, check again, write.

Knows the order of the steps and where their results are kept. Knows nothing of how weights are chosen:
`trued.language.repair` does that.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trued.cli.check.report import check_bar, result_table, summary
from trued.cli.repair.patch import PATCH, REPAIR, weights_folder
from trued.cli.repair.questions import answered, own_rows, served_score
from trued.cli.repair.report import recovery_record, repair_report, step_line
from trued.cli.terminal import console, messages, print_json
from trued.data.messages import Prompt
from trued.data.prompts import ReplyRow
from trued.errors import InputError
from trued.files import whole_folder, write_text
from trued.lab.report import write_report
from trued.lab.wording import duration

if TYPE_CHECKING:
    from trued.cli.repair.command import Metric
    from trued.language.engine.model import LanguageModel
    from trued.language.measure.check.result import CheckResult
    from trued.language.measure.check.safety import CheckConfig
    from trued.language.repair.alignment_recovery.config import RecoveryConfig
    from trued.language.repair.alignment_recovery.recover import RecoveryResult
    from trued.learn.weights import Weights

TASK_PROMPTS, SCORED = 256, 128


def check_config(*, quick: bool) -> CheckConfig:
    """Return the settings of both checks."""
    from trued.language.measure.check.safety import CheckConfig

    attacks = ("direct", "templates")
    return CheckConfig.quick(attacks=attacks) if quick else CheckConfig(attacks=attacks, attacked=8, general=24)


@dataclass(kw_only=True)
class Job:
    """One repair.

    Args:
        finetuned: the model to repair.
        aligned: the model that it was made from.
        output: the folder that is written.
        harmful: questions whose representations are compared.
        rows: of the fine-tuning task; without them, the model's own replies to general requests.
        metric: how the task is scored.
        config: of the recovery.
        check_config: of both checks.
        device: such as cpu or cuda:1.
        template: the chat template's text.
        as_json: print JSON, and no words.
    """

    finetuned: str
    aligned: str
    output: Path
    harmful: list[Prompt]
    rows: list[ReplyRow] | None
    metric: Metric
    config: RecoveryConfig
    check_config: CheckConfig
    device: str | None
    template: str | None
    as_json: bool

    def __post_init__(self) -> None:
        from trued.cli.check.unfinished import parts_path
        from trued.language.measure.check.parts import Parts

        given = {
            "harmful": self.harmful, "rows": self.rows, "metric": self.metric, "config": asdict(self.config),
            "template": self.template,
        }  # fmt: skip
        self.parts = Parts(parts_path(self.finetuned, self.aligned, **given))
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
                    served_score(rows[:SCORED], self.metric),
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
        replies = self.parts.get(["own replies"], lambda: [[row.prompt, row.reply] for row in own_rows(lm)])
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
        folder = weights_folder(self.aligned)
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
                folder = weights_folder(self.finetuned)
                lm.base.to(WeightsFolder(folder).dtype if folder is not None else lm.dtype)
                save_model(lm, work)
            result.patch.save(work / PATCH)
            record = {"finetuned": self.finetuned, "aligned": self.aligned, **recovery_record(result, self.config)}
            write_text(work / "repair.json", json.dumps(record, indent=1))
            write_report(work / "report.html", repair_report(self, result, after, seconds))
        if not self.as_json:
            out = console()
            out.print(f"repaired {self.output}", soft_wrap=True)
            out.print(f"report   {self.output / 'report.html'}", soft_wrap=True)
            out.print(f"undo     trued repair --revert {self.output / PATCH} --finetuned {self.output} --output OTHER")

    def _print(self, result: RecoveryResult, after: CheckResult) -> None:
        if self.as_json:
            record = {k: v for k, v in recovery_record(result, self.config).items() if k not in ("history", "settings")}
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
        messages().print(text, soft_wrap=True)
