"""`trued loop`: check → attack → align → check again, on one model, with a report at the end.

Knows the order of the steps, where their results are kept, and how to say what happened. Each step's work is done by
the library: `check`, `Recipe.align`, `check` again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trued.cli.align.finish import look_line, training_card
from trued.cli.check.report import check_bar, open_model, report_sections, result_table, summary
from trued.cli.options import Model, Switch
from trued.cli.terminal import command_line, console, messages, now, refuse_endpoints
from trued.errors import InputError
from trued.files import claim_output, mark_folder, write_text
from trued.lab.report import Figure, KeyValues, Prose, Report, Section, Table, write_report
from trued.lab.wording import duration

if TYPE_CHECKING:
    from trued.language.engine.model import LanguageModel
    from trued.language.measure.check.result import CheckResult
    from trued.language.measure.check.safety import CheckConfig
    from trued.language.train.recipe import Recipe, TradeOff
    from trued.learn.fit.loop import FitResult

LOOP = "loop"
"""What the folder is called among the kinds of output."""


def loop(
    model: Model = None,
    *,
    output: Path = Path("loop"),
    device: str | None = None,
    template: str | None = None,
    quick: Switch = False,
    fresh: Switch = False,
) -> None:
    """Check a model, attack it, align it under attack, and check it again on prompts that training never saw.

    A loop that was cut off is continued: finished steps are not done again.

    Parameters
    ----------
    output
        The folder for the adapter, the results of both checks and report.html.
    device
        Such as cpu or cuda:1.
    template
        "none" for a model without a chat template, or a Jinja template.
    quick
        A quarter of the prompts and half of the steps: a first look, with wide intervals.
    fresh
        Start anew, even if there is a loop to continue in --output.
    """
    from trued.language.measure.check.safety import check
    from trued.language.train.recipe import Recipe

    refuse_endpoints(model)
    started = time.perf_counter()
    out = console()
    config = check_config(quick=quick)
    recipe = Recipe(steps=16, validate_every=8) if quick else Recipe()
    claim_output(output, kind=LOOP, whole=False)
    if fresh:
        _clear(output)
    lm = open_model(model, device=device, template=template)
    mark_folder(output, LOOP)
    out.print(f"{lm.name} · {lm.device.type} · {str(lm.dtype).removeprefix('torch.')}\n")

    out.print("1/4 check and 2/4 attack: requests as they are, in templates, with prefilled replies, and embeddings")
    before = _saved_or_measured(output / "before.json", config, lambda bar: check(lm, config=config, progress=bar))
    out.print(result_table(before))

    out.print("\n3/4 align: refuse under embedding attacks, keep the base model's replies to benign requests")
    tuned, result, looks = _align(recipe, lm, output)
    out.print(f"{result.steps} steps in {duration(result.seconds)}; the best look was step {result.best_step}\n")

    out.print("4/4 check again, on prompts that training never saw")
    after = _saved_or_measured(
        output / "after.json", config, lambda bar: check(tuned, before, config=config, progress=bar)
    )
    out.print(result_table(after))
    out.print()
    out.print(summary(after))
    card = training_card("refusal", result, asdict(recipe), looks)
    tuned.save_adapter(output / "adapter", replace(card, check=(*card.check, *checked(after))))
    path = write_report(
        output / "report.html", _report(before, after, recipe, result, looks, time.perf_counter() - started)
    )
    out.print(f"\nadapter  {output / 'adapter'}", soft_wrap=True)
    out.print(f"report   {path}", soft_wrap=True)


def check_config(*, quick: bool) -> CheckConfig:
    """Return the settings of both checks."""
    from trued.language.measure.check.safety import CheckConfig

    return CheckConfig.quick() if quick else CheckConfig(attacked=8, general=24)


def _clear(output: Path) -> None:
    import shutil

    for name in ("before.json", "after.json", "report.html"):
        (output / name).unlink(missing_ok=True)
    for name in ("adapter", "training"):
        shutil.rmtree(output / name, ignore_errors=True)


def _saved_or_measured(path: Path, config: CheckConfig, measure: Callable[[Any], CheckResult]) -> CheckResult:
    """Return the result saved at `path` if it was measured by the same settings, else measure and save it."""
    from trued.language.measure.check.result import CheckResult

    if path.exists():
        earlier = CheckResult.from_json(json.loads(path.read_text("utf-8")), str(path))
        if earlier.protocol["settings"] == json.loads(json.dumps(asdict(config))):
            return earlier
        raise InputError(f"{path} was measured by other settings: give another --output, or --fresh to start anew")
    with check_bar() as bar:
        result = measure(bar)
    write_text(path, json.dumps(result.to_json()))
    return result


def _align(recipe: Recipe, lm: LanguageModel, output: Path) -> tuple[LanguageModel, FitResult, list[TradeOff]]:
    """Train, or continue to train, or take what was trained before; the record lies beside the adapter."""
    folder = output / "training"
    say = messages()
    tuned, result, looks = recipe.align(
        lm, output=folder, resume=True, looked=lambda look: say.print(f"    {look_line(look)}")
    )
    tuned.save_adapter(output / "adapter")
    return tuned, result, looks


def checked(result: CheckResult) -> list[tuple[str, str, str]]:
    """The rates of a check before and after, for the model card."""
    return [
        (f"{metric.group}: {metric.name}", f"{metric.change.baseline:.0%}", f"{metric.value:.0%}")
        for metric in result.metrics
        if metric.change is not None and metric.unit == "share"
    ]


def _report(
    before: CheckResult, after: CheckResult, recipe: Recipe, result: FitResult, looks: list[TradeOff], seconds: float
) -> Report:
    blocks: list[Any] = [
        Prose(
            [
                "Harmful requests were attacked in embedding space while the model learned to refuse them; benign "
                "look-alikes and general requests kept the base model's own distribution. Training stopped at the best "
                "look at validation prompts. The checks above use other prompts.",
            ]
        ),
    ]
    if looks:
        rows = [
            [look.step, f"{look.refused:.0%}", f"{look.refused_in_templates:.0%}", f"{look.over_refused:.0%}"]
            for look in looks
        ]
        columns = ["step", "harmful refused", "in templates", "look-alikes refused"]
        blocks.append(Table(columns, rows, caption="Validation prompts, look by look."))
    blocks += [Figure("Training", _loss_curve(result), "Loss of the training run, step by step."),
               KeyValues({"command": command_line(), **asdict(recipe), "seconds": round(result.seconds)})]  # fmt: skip
    return Report(
        title=f"{after.model}: check, attack, align, check again",
        sections=[*report_sections(after), Section("How it was aligned", blocks)],
        kicker="trued loop",
        facts=[duration(seconds), now()[:10]],
    )


def _loss_curve(result: FitResult) -> str:
    from trued.lab.figure import draw_svg

    def draw(axes: Any) -> None:
        steps = [record["step"] for record in result.history]
        for name in ("loss", "toward", "utility"):
            axes.plot(steps, [record.get(name, float("nan")) for record in result.history], label=name)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.legend(frameon=False)

    return draw_svg(draw)
