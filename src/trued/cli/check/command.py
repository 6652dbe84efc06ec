"""`trued check`: is a model safe, robust and useful, and does it keep the limits that a pipeline sets?

Knows options, files and exit codes. Knows nothing of how anything is measured: `trued.language.measure` does that.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from trued.cli.methods import options
from trued.cli.options import JsonSwitch, Model, Switch
from trued.cli.settings import laid_over, read_settings
from trued.cli.terminal import command_line, console, messages, now, print_json, refuse_endpoints
from trued.errors import InputError
from trued.fetch.hub import find_files, is_path
from trued.files import claim_output, write_output
from trued.texts import read_json, read_text

if TYPE_CHECKING:
    from trued.lab.report import Report
    from trued.language.engine.model import LanguageModel
    from trued.language.judge.reply import Judge
    from trued.language.measure.check.gates import Gates, Outcome
    from trued.language.measure.check.result import CheckResult
    from trued.language.measure.honesty.check import HonestyCheck

    GateOptions = CheckOptions = Any
else:
    GateOptions = options("check gates", group="Gates")
    CheckOptions = options("check", group="Settings")


def check(
    model: Model = "default",
    *,
    against: str | None = None,
    adapter: Path | None = None,
    judge: Literal["phrase", "composite"] = "phrase",
    template: str | None = None,
    device: str | None = None,
    quick: Switch = False,
    honesty: Switch = False,
    config: Path | None = None,
    output: Path | None = None,
    junit_file: Annotated[Path | None, Parameter(name="--junit")] = None,
    as_json: JsonSwitch = False,
    gates: GateOptions = None,
    settings: CheckOptions = None,
) -> int:
    """Measure refusals, robustness and usefulness, each with its interval; exit code 1 if a gate falls short.

    A check that was cut off is continued by the same command.

    Parameters
    ----------
    against
        What to compare with: a model like the above, "base" for the same model without its adapter, or a file that
        an earlier `trued check --json` printed.
    adapter
        A PEFT adapter to put on the model.
    judge
        phrase looks for refusals; composite also wants an answer to be on topic and fluent, and else says unknown.
    template
        "none" for a model without a chat template, or a Jinja template, or a file with one.
    device
        Such as cpu or cuda:1.
    quick
        A quarter of the prompts: a first look, with wide intervals.
    honesty
        Ask questions of fact too: does the model decline what it does not know? Compared with --against, or else with
        the same model under a prompt that does not permit to decline.
    config
        A TOML or YAML file of the settings below, and of gates in a section "gates"; options on the command line go
        before it.
    output
        Write a report here: one HTML file.
    junit_file
        Write JUnit XML here, one test case a gate; the numbers are properties.
    """
    from trued.cli.check.junit import JUNIT, junit
    from trued.cli.check.report import check_bar, open_model
    from trued.cli.check.unfinished import continued, parts_path
    from trued.lab.report import write_report
    from trued.language.measure.check.gates import Gates
    from trued.language.measure.check.parts import Parts
    from trued.language.measure.check.safety import CheckConfig
    from trued.language.measure.check.safety import check as measure
    from trued.language.measure.honesty.check import check_honesty
    from trued.language.provenance import provenance

    started = time.perf_counter()
    refuse_endpoints(model, against)
    for path, kind in ((output, "report"), (junit_file, JUNIT)):
        if path is not None:
            claim_output(path, kind=kind)
    from_file = dict(read_settings(config) or {})
    limits: Gates = laid_over(laid_over(Gates(), from_file.pop("gates", None), source=config), gates)
    if limits.need_base and against is None:
        raise InputError("--max-perplexity-increase and --min-agreement compare with a base: give --against BASE")
    start = CheckConfig.quick() if quick else CheckConfig()
    check_config = laid_over(laid_over(start, from_file, source=config), settings)
    earlier = _earlier(against)
    if honesty and earlier is not None:
        raise InputError(f"--honesty asks both models the same questions, and {against} is a result: name a model")
    lm = open_model(model, device=device, template=template, adapter=adapter)
    base = earlier or _base(against, lm, device, template)
    parts = Parts(parts_path(model, adapter, against, device=device, template=template))
    with check_bar() as bar, continued(parts):
        result = measure(lm, base, check_config, judge=_judge(judge, lm, base), progress=bar, parts=parts)
        known = check_honesty(lm, _model(base), progress=bar) if honesty else None
    outcomes = limits.outcomes(result)
    if as_json:
        extra = {"gates": [outcome.to_json() for outcome in outcomes]}
        print_json(result.to_json() | extra | ({"honesty": known.to_json()} if known else {}))
    else:
        _print(result, outcomes, known)
    if junit_file is not None:
        write_output(junit_file, junit(result, outcomes), kind=JUNIT)
    if output is not None:
        origin = provenance(lm, model, adapter)
        write_report(output, _report(result, outcomes, known, origin, time.perf_counter() - started))
        if not as_json:
            console().print(f"report  {output}", soft_wrap=True)
    parts.clear()
    short = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in short:
        messages().print(f"trued: gate {outcome.gate} fell short: {outcome.says}", soft_wrap=True)
    return 1 if short else 0


def _earlier(against: str | None) -> CheckResult | None:
    """Read an earlier result if that is what `against` names; found before a model is loaded."""
    if against is None or not Path(against).is_file():
        if against is not None and is_path(against):
            find_files(against, weights=False)  # a path that is not there is told of now, not after the first model
        return None
    from trued.language.measure.check.result import CheckResult

    try:
        data = read_json(read_text(against))
    except InputError as error:
        reason = str(error).removeprefix(f"{against} is ")
        raise InputError(f"{against} cannot be read: {reason}: give what `trued check MODEL --json` printed") from error
    return CheckResult.from_json(data, against)


def _base(against: str | None, lm: LanguageModel, device: str | None, template: str | None) -> LanguageModel | None:
    if against is None:
        return None
    if against == "base":
        if not hasattr(lm.model, "peft_config"):
            raise InputError(f"--against base switches the adapter of {lm.name} off, and it has none: name a model")
        return lm
    from trued.cli.check.report import open_model

    return open_model(against, device=device, template=template)


def _model(base: LanguageModel | CheckResult | None) -> LanguageModel | None:
    from trued.language.engine.model import LanguageModel

    return base if isinstance(base, LanguageModel) else None


def _judge(name: str, lm: LanguageModel, base: LanguageModel | CheckResult | None) -> Judge:
    """Return the judge; the fluency of replies is the base model's to judge, or the unadapted model's own."""
    from trued.language.judge.reply import CompositeJudge, PhraseJudge

    if name == "phrase":
        return PhraseJudge()
    from trued.language.engine.embedder import SentenceEmbedder
    from trued.language.measure.check.utility import text_perplexity

    reader = _model(base) or lm
    return CompositeJudge(embed=SentenceEmbedder.load(), perplexity=text_perplexity(reader))


def _print(result: CheckResult, outcomes: list[Outcome], known: HonestyCheck | None) -> None:
    from trued.cli.check.honesty import honesty_table
    from trued.cli.check.report import protocol_line, result_table, summary

    out = console()
    against = f" against {result.baseline.model}" if result.baseline else ""
    out.print(f"{result.model}{against}\n")
    out.print(result_table(result))
    out.print(f"\n{summary(result)}")
    out.print(protocol_line(result), style="dim")
    if known is not None:
        out.print()
        out.print(honesty_table(known))
    for note in result.notes:
        out.print(f"note: {note}")
    if outcomes:
        passed = sum(outcome.passed for outcome in outcomes)
        out.print(f"gates: {passed} of {len(outcomes)} kept")
    else:
        out.print("gates: none set", style="dim")


def _report(
    result: CheckResult, outcomes: list[Outcome], known: HonestyCheck | None, origin: dict[str, Any], seconds: float
) -> Report:
    from trued.cli.check.honesty import honesty_rows
    from trued.cli.check.report import report_sections, summary
    from trued.lab.platform import machine, versions
    from trued.lab.report import KeyValues, Prose, Report, Section, Table
    from trued.lab.wording import duration

    sections = report_sections(result)
    if outcomes:
        rows = [[outcome.gate, outcome.says, "kept" if outcome.passed else "fell short"] for outcome in outcomes]
        sections.insert(1, Section("Gates", [Table(["gate", "what was found", ""], rows)]))
    else:
        sections.insert(1, Section("Gates", [Prose(["No gate was set: nothing here passed or failed."])]))
    if known is not None:
        columns = ["", "value [95 %]", "questions"]
        blocks = [Table(columns, honesty_rows(known), f"Compared with replies before: {known.base}.")]
        sections.insert(-1, Section("Honesty, on questions of fact", blocks))
    facts: dict[str, Any] = {
        "command": command_line(), "date": now(), **origin, "versions": versions(), "machine": machine(),
        "seconds": round(seconds, 1),
    }  # fmt: skip
    return Report(
        title=result.model,
        kicker="trued check",
        facts=[*([f"against {result.baseline.model}"] if result.baseline else []), duration(seconds), now()[:10]],
        lead=summary(result),
        sections=[*sections, Section("Model, command and machine", [KeyValues(facts)])],
        footer="Intervals are 95 %. A reply that the judge could not tell is counted as unknown, never as safe.",
    )
