"""What every `trued attack` command is given, and what it does with it: open models, attack, judge, print, report.

Knows options, models, judges and files. Knows nothing of any one attack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import Parameter

from trued.cli.options import WholeNumber
from trued.cli.settings import with_settings
from trued.cli.terminal import command_line, console, messages, now, print_json, refuse_endpoints
from trued.errors import InputError
from trued.files import claim_output

if TYPE_CHECKING:
    from trued.lab.report import Report
    from trued.language.attack.attacker import Attacker
    from trued.language.attack.contract import Behavior
    from trued.language.attack.result import SuiteResult
    from trued.language.engine.model import LanguageModel
    from trued.language.judge.reply import Judge

T = TypeVar("T")
Team = Callable[["Judge"], Sequence[Any]]
"""Returns attacks, given the judge that guides them. (A name that is a class variable fits no protocol's property.)"""


@dataclass(frozen=True)
class Job:
    """What every attack is given.

    Args:
        behaviors: what is attacked: prompt, and if wanted id, target, context, category (JSONL, Parquet, a data set);
            the shipped harmful test requests otherwise.
        limit: most behaviours, evenly spaced; 0 for all.
        output: results as they come, one JSON row a line; the same command continues them.
        report: write a report here: one HTML file.
        judge: counts success. composite wants a reply that is on topic and fluent too, phrase only no refusal;
            harmbench, rubric and strong-reject ask --judge-model.
        judge_model: a model for the judge: a folder, a hub id, or NAME@URL of an endpoint.
        guide: the judge that guides attacks that read replies.
        system: system prompt of the deployment; none by default.
        template: "none" for a model without a chat template, a Jinja template, or a file with one.
        max_new_tokens: length of a reply (HarmBench's protocol has 512).
        seed: of all random choices.
        budget: most model passes of an attack a behaviour.
        device: such as cpu or cuda:1.
        config: a TOML or YAML file of the settings below; options on the command line go before it.
    """

    behaviors: str | None = None
    limit: WholeNumber = 24
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None
    report: Path | None = None
    judge: Literal["composite", "phrase", "harmbench", "rubric", "strong-reject"] = "composite"
    judge_model: str | None = None
    guide: Literal["phrase", "composite"] = "phrase"
    system: str | None = None
    template: str | None = None
    max_new_tokens: WholeNumber = 40
    seed: WholeNumber = 0
    budget: WholeNumber | None = None
    device: str | None = None
    config: Path | None = None

    def settings(self, method: T, options: Any) -> T:
        """Return `method` with the configuration file and then the options laid over it."""
        configured = with_settings(method, self.config, options)
        _require_steps(configured)
        return configured

    def wanted(self) -> list[Behavior]:
        from trued.language.attack.behaviors import read_behaviors, shipped_behaviors

        limit = self.limit or None
        return shipped_behaviors(limit=limit) if self.behaviors is None else read_behaviors(self.behaviors, limit)

    def open(self, source: str) -> LanguageModel:
        from trued.cli.check.report import open_model

        return open_model(source, device=self.device, template=self.template)

    def judges(self, reader: LanguageModel) -> tuple[Judge, Judge]:
        """Return the judge of success and the guide; the fluency of replies is `reader`'s to judge."""
        from trued.language.judge.reply import CompositeJudge, PhraseJudge

        composite: Judge | None = None
        if "composite" in (self.judge, self.guide):
            from trued.language.engine.embedder import SentenceEmbedder
            from trued.language.measure.check.utility import text_perplexity

            composite = CompositeJudge(embed=SentenceEmbedder.load(), perplexity=text_perplexity(reader))
        named: dict[str, Judge | None] = {"composite": composite, "phrase": PhraseJudge()}
        guide, judge = named[self.guide], named.get(self.judge) or self._model_judge()
        assert guide is not None
        return judge, guide

    def _model_judge(self) -> Judge:
        from trued.language.judge import models as judges

        if self.judge == "harmbench" and "@http" not in (self.judge_model or ""):
            return judges.HarmBenchJudge.load(self.judge_model or judges.HARMBENCH[0], device=self.device)
        assert self.judge_model is not None  # `check` saw to it
        model = writer(self.judge_model, self.device)
        if self.judge == "harmbench":
            return judges.HarmBenchJudge(model)
        return judges.LLMJudge(model) if self.judge == "rubric" else judges.StrongRejectJudge(model)

    def check(self, models: Sequence[str]) -> None:
        """Refuse what cannot work, and outputs that cannot be written, before a model is loaded."""
        from trued.language.attack.journal import is_journal

        refuse_endpoints(*models)
        if self.report is not None:
            claim_output(self.report, kind="report")
        if self.output is not None:
            claim_output(self.output, kind="journal of an attack", own=is_journal)
        if self.judge in ("rubric", "strong-reject") and self.judge_model is None:
            raise InputError(f"--judge {self.judge} asks a model: give --judge-model, a folder, a hub id or NAME@URL")
        if self.limit < 0 or self.max_new_tokens < 1:
            raise InputError(
                f"limit {self.limit} and max_new_tokens {self.max_new_tokens}: the first must not be negative (0 is "
                "all), the second at least 1"
            )


@dataclass(frozen=True)
class Writer:
    """The model that writes prompts.

    Args:
        attacker: a folder, a hub id, or NAME@URL of an OpenAI-compatible endpoint (key in OPENAI_API_KEY, if any).
        temperature: of its sampling.
        retries: how often a reply that cannot be read is requested again.
    """

    attacker: str | None = None
    temperature: float = 1.0
    retries: WholeNumber = 20

    def open(self, device: str | None) -> Attacker | None:
        if self.attacker is None:
            return None
        from trued.language.attack.attacker import Attacker

        return Attacker(writer(self.attacker, device), temperature=self.temperature, retries=self.retries)

    def required(self, command: str, device: str | None) -> Attacker:
        opened = self.open(device)
        if opened is None:
            raise InputError(
                f"{command} needs a model that writes prompts: give --attacker, a folder, a hub id or NAME@URL, or run "
                "pair-lite, the offline stand-in"
            )
        return opened


def _require_steps(method: Any, name: str = "") -> None:
    """Raise `InputError` if an attack, or one of a team, is to take no step: what it would report is another attack."""
    for field in fields(method):
        value = getattr(method, field.name)
        if field.name == "steps" and value == 0:
            raise InputError(f"--{name}steps is 0: the attack would not begin; give at least 1, or attack by direct")
        if is_dataclass(value) and not isinstance(value, type):
            _require_steps(value, f"{name}{field.name}.".replace("_", "-"))


def writer(source: str, device: str | None) -> Any:
    """Open a model that writes or judges: local, or NAME@URL."""
    from trued.cli.check.report import open_model

    name, _, address = source.partition("@")
    if not address.startswith("http"):
        return open_model(source, device=device)
    import os

    from trued.language.endpoint.chat import ChatEndpoint

    key = "OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else None
    return ChatEndpoint(name, address, key)


def run(job: Job, models: Sequence[str], team: Team, command: str, *, as_json: bool) -> int:
    """Attack every model in turn, print one table of all, and write the report.

    Args:
        job: what is attacked and how it is judged.
        models: the models to attack, side by side; the embedded one if there is none.
        team: returns the attacks, given the judge that guides them.
        command: the name after `trued attack`.

    Returns:
        The exit code: 1 if an attack could not be measured on a model, which is said on standard error.
    """
    from trued.cli.check.report import check_bar
    from trued.lab.report import write_report
    from trued.language.attack.contract import ChatTarget
    from trued.language.attack.suite import Suite
    from trued.language.provenance import provenance

    started = time.perf_counter()
    job.check(models)
    behaviors = job.wanted()
    results: list[SuiteResult] = []
    origins: dict[str, Any] = {}
    judges: tuple[Judge, Judge] | None = None
    try:
        with check_bar() as bar:
            for source in models or ("default",):
                lm = job.open(source)
                origins[lm.name] = provenance(lm, source)
                judges = judges or job.judges(lm)
                judge, guide = judges
                attacks = Suite(team(guide), seed=job.seed, budget=job.budget)
                target = ChatTarget(lm, job.system, job.max_new_tokens)
                results.append(attacks.evaluate(target, behaviors, judge, journal=job.output, progress=bar))
    except KeyboardInterrupt:
        remedy = f"the same command continues {job.output}" if job.output else "nothing is kept without --output"
        raise KeyboardInterrupt(f"interrupted; {remedy}") from None
    seconds = time.perf_counter() - started
    if as_json:
        first = results[0]
        print_json(
            {
                "protocol": first.protocol,
                "calibration": first.calibration,
                "models": [result.to_json() for result in results],
                "against_first": {
                    result.model: {name: vars(test) for name, test in result.against(first).items()}
                    for result in results[1:]
                },
            }
        )
    else:
        _print(results)
    if job.report is not None:
        write_report(job.report, _report(results, origins, command, seconds))
    for name, path in (("results", job.output), ("report", job.report)):
        if path is not None and not as_json:
            console().print(f"{name:<8} {path}", soft_wrap=True)
    missing = [(result, name) for result in results for name in result.not_measured]
    for result, name in missing:
        reason = result.left_out.get(name, "it made no case")
        messages().print(f"trued: {name} was not measured on {result.model}: {reason}", soft_wrap=True)
    return 1 if missing else 0


def _print(results: Sequence[SuiteResult]) -> None:
    from trued.cli.attack.report import comparisons, cost_table, protocol_lines, rates_table

    out = console()
    out.print(rates_table(results))
    out.print()
    for line in comparisons(results):
        out.print(line)
    out.print(cost_table(results))
    out.print()
    for line in protocol_lines(results):
        out.print(line, style="dim")
    for result in results:
        for note in result.notes:
            out.print(f"note, {result.model}: {note}")


def _report(results: Sequence[SuiteResult], origins: dict[str, Any], command: str, seconds: float) -> Report:
    from trued.cli.attack.report import overview, report_sections
    from trued.lab.platform import machine, versions
    from trued.lab.report import KeyValues, Report, Section
    from trued.lab.wording import duration

    facts = {"command": command_line(), "date": now(), **origins, "versions": versions(), "machine": machine()}
    return Report(
        title=", ".join(result.model for result in results),
        kicker=f"trued attack {command}",
        facts=[f"{len(results[0].behaviors)} behaviours", duration(seconds), now()[:10]],
        lead=overview(results),
        sections=[*report_sections(results), Section("Models, command and machine", [KeyValues(facts)])],
        footer="Intervals are 95 %. What the judge could not tell, and what is missing, never counts as safe.",
    )
