"""`trued align honesty-…`: train an adapter that declines what the model does not know, by one of the paper's variants.

Knows options, files and how to print. Knows nothing of how a variant trains: `train.honesty` does that.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from trued.cli.align.app import Work, finish
from trued.cli.check.report import check_bar
from trued.cli.options import JsonSwitch
from trued.cli.settings import options_of
from trued.cli.terminal import console
from trued.data.facts import FactQuestion, fact_questions, read_questions
from trued.files import cache_dir
from trued.language.train.honesty.align import HonestyTraining, build_sft

Settings = Parameter(name="*")
if TYPE_CHECKING:
    AbsoluteOptions = Options = MultisampleOptions = Any
else:
    AbsoluteOptions = Annotated[options_of(HonestyTraining(), skip=("method",)) | None, Settings]
    Options = Annotated[options_of(HonestyTraining(), skip=("method", "tau")) | None, Settings]
    MultisampleOptions = Annotated[
        options_of(HonestyTraining.of("multisample"), skip=("method", "tau")) | None, Settings
    ]  # fmt: skip


@dataclass(frozen=True)
class HonestyJob(Work):
    """What every variant is given.

    Args:
        data: rows of question and answers (JSONL, Parquet, a data set); the packaged facts otherwise.
    """

    data: str | None = None

    def questions(self) -> list[FactQuestion]:
        return fact_questions("train") if self.data is None else read_questions(self.data)


Given = Annotated[HonestyJob, Settings]


def absolute(*, job: Given, method: AbsoluteOptions = None, as_json: JsonSwitch = False) -> None:
    """ABSOLUTE (arXiv 2312.07000): decline where fewer than tau of the model's own samples are right."""
    _train(job, HonestyTraining.of("absolute"), method, as_json=as_json)


def confidence_num(*, job: Given, method: Options = None, as_json: JsonSwitch = False) -> None:
    """CONFIDENCE-NUM (arXiv 2312.07000): state the share of right samples in per cent before the answer."""
    _train(job, HonestyTraining.of("confidence-num"), method, as_json=as_json)


def confidence_verb(*, job: Given, method: Options = None, as_json: JsonSwitch = False) -> None:
    """CONFIDENCE-VERB (arXiv 2312.07000): say in words how sure the model is before the answer."""
    _train(job, HonestyTraining.of("confidence-verb"), method, as_json=as_json)


def multisample(*, job: Given, method: MultisampleOptions = None, as_json: JsonSwitch = False) -> None:
    """MULTISAMPLE (arXiv 2312.07000): learn every right sample, and declining in place of every wrong one."""
    _train(job, HonestyTraining.of("multisample"), method, as_json=as_json)


def fine_tuned(*, job: Given, method: Options = None, as_json: JsonSwitch = False) -> None:
    """The paper's baseline (arXiv 2312.07000): learn right answers, and never to decline."""
    _train(job, HonestyTraining.of("fine-tuned"), method, as_json=as_json)


def _train(job: HonestyJob, start: HonestyTraining, options: Any, *, as_json: bool) -> None:
    training = replace(job.settings(start, options), method=start.method)
    questions = job.questions()
    lm = job.open()
    kept = cache_dir() / "knowledge" / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', lm.name)}.jsonl"
    with check_bar(not as_json) as bar:
        table = training.learn_table(
            lm, questions, cache=kept, progress=lambda done: bar(done, len(questions), "what the model knows")
        )  # fmt: skip
    rows = build_sft(table, training.method, tau=training.tau, n=training.questions, seed=training.fit.seed)
    tuned, result = training.align(lm, table, output=job.output, resume=job.resume, progress=not as_json)
    finish(training.method, tuned, result, job.output, asdict(training), [], as_json=as_json)
    if not as_json:
        known = sum(row.known for row in table)
        out = console()
        out.print(f"taught   {len(rows)} rows; the model knew {known} of {len(table)} questions")
        out.print(f"honesty  trued check {job.output} --against base --honesty", soft_wrap=True)
