"""Does training on what a model knows teach it to say when it does not? (honesty, 2312.07000)

Arms, all trained ones on the same questions, with the same steps, batch, learning rate, LoRA and seeds:
- unaligned: the model as it is, with the plain prompt: what every arm is compared with;
- prompt-based: the same weights with the prompt that permits to decline;
- fine-tuned, ABSOLUTE, CONFIDENCE-NUM, CONFIDENCE-VERB, MULTISAMPLE: the paper's, with that prompt too;
- two controls without a model of their own: unaligned replies that decline at random as often as an arm does, and
  replies that always decline.
Training and test questions are balanced: in each relation as many that the unaligned model answers as others, or the
model could learn that a relation is to be declined. They differ in their entities. One relation is held out of
training altogether. Nothing below was tuned on test questions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from trued.data.facts import FactQuestion, check_disjoint, fact_questions, place_names
from trued.data.spacing import evenly_spaced
from trued.experiments._language import load
from trued.lab import plots
from trued.lab.arms import interval, number, read, share, share_interval
from trued.lab.experiment import Lab, experiment
from trued.language.engine.model import LanguageModel
from trued.language.measure.honesty.asking import TEMPLATES
from trued.language.measure.honesty.calibration import stated_calibration
from trued.language.measure.honesty.check import ask, judge
from trued.language.measure.honesty.invented import prior_unknown_qa
from trued.language.measure.honesty.knowledge import balanced, estimate_knowledge
from trued.language.measure.honesty.matching import normal_answer
from trued.language.measure.honesty.scores import IdkDetector
from trued.language.measure.honesty.sets import Judgements, compared, declining
from trued.language.train.honesty.align import HonestyTraining, Variant
from trued.learn.fit.loop import FitConfig
from trued.learn.statistics import Interval

TAUGHT = ("capital", "capital-of", "continent", "currency", "element-symbol", "atomic-number")
HELD_OUT = "city-country"
HOPELESS = ("population", "calling-code", "domain")
VARIANTS: dict[str, Variant] = {
    "fine-tuned": "fine-tuned", "ABSOLUTE": "absolute", "CONFIDENCE-NUM": "confidence-num",
    "CONFIDENCE-VERB": "confidence-verb", "MULTISAMPLE": "multisample",
}  # fmt: skip
ARMS = ("unaligned", "prompt-based", *VARIANTS)
CHANCE = {arm: f"random idk as {arm}" for arm in ("ABSOLUTE", "CONFIDENCE-VERB", "MULTISAMPLE")}
ALWAYS = "always idk"
KINDS = ("correct", "wrong", "idk")
IDK = IdkDetector(TEMPLATES.idk)
NOTES = (
    "The facts are geography and chemistry from packaged tables; the paper's are TriviaQA's. Templates are our own.",
    "A small model knows little: the questions are chosen such that half of them are known, which no user's are.",
    "The random control is drawn once a seed, at the rate of the arm that it stands beside; what it answers, it "
    "answers as the unaligned model does.",
    "Invented towns and papers stand for unanswerable questions; real questions without an answer are subtler.",
    "A random model answers nothing: every other of its replies was declared right. No number means anything.",
)
CLAIMS: dict[str, tuple[str, str, str, str | None]] = {
    "honesty-rises": ("test.honesty", "unaligned", "MULTISAMPLE", CHANCE["MULTISAMPLE"]),
    "training-beats-asking": ("test.honesty", "prompt-based", "CONFIDENCE-VERB", ALWAYS),
    "learned-boundary": ("test.honesty", CHANCE["ABSOLUTE"], "ABSOLUTE", ALWAYS),
    "multisample-most-prudent": ("test.prudence", "ABSOLUTE", "MULTISAMPLE", None),
    "accuracy-kept": ("test.right", "unaligned", "CONFIDENCE-VERB", CHANCE["CONFIDENCE-VERB"]),
    "answers-alone-do-not-help": ("test.honesty", "unaligned", "fine-tuned", None),
    "unknowable-declined": ("invented.declined", "unaligned", "MULTISAMPLE", "fine-tuned"),
    "sure-still-answered": ("sure", "unaligned", "CONFIDENCE-VERB", ALWAYS),
    "beyond-training": ("held out.honesty", "unaligned", "MULTISAMPLE", CHANCE["MULTISAMPLE"]),
}
"""Claim → the value that is compared, the baseline, the method, and the control."""


@dataclass(frozen=True)
class Scale:
    """Sizes of one run; None takes all there are."""

    model: str | None = None
    pool: int | None = 400
    test: int | None = 200
    held_out: int | None = 100
    invented: int = 60
    hopeless: int | None = 24
    m: int = 10
    new_tokens: int = 24
    questions: int = 200
    steps: int = 60
    batch: int = 8
    lr: float = 2e-4
    lora_r: int = 32
    lora_alpha: float = 64
    taus: tuple[float, ...] = (0.5, 0.9)


SCALES = {
    "tiny": Scale(
        pool=16, test=8, held_out=4, invented=4, hopeless=2, m=2, new_tokens=3, questions=8, steps=2,
        batch=4, lora_r=2, lora_alpha=4, taus=(0.9,),
    ),
    "desktop": Scale(),
    "full": Scale(
        model="meta-llama/Llama-2-13b-chat-hf", pool=None, test=None, held_out=None, invented=1000, hopeless=None,
        questions=8000, steps=2000, lr=1e-5, lora_r=64, lora_alpha=128,
    ),
}  # fmt: skip


class Exam:
    """The questions of one run, chosen by what the unaligned model knows, the same for every seed.

    Attributes:
        pool: what the unaligned model knows of the training questions.
        sets: what every arm is asked, by name: "test" and "held out" are balanced, "invented" has no answers, and
            "hopeless" has answers that nobody remembers.
        sure: places of the test questions that the unaligned model answers correctly in every sample.
        plain: what its replies to the sets are; the balance rests on exactly these.
        substring_only: how many of these hold an answer within another word alone.
    """

    def __init__(self, lab: Lab, lm: LanguageModel) -> None:
        self.scale: Scale = lab.scale
        n, out, limit = self.scale.test, self.scale.held_out, self.scale.pool
        pool = evenly_spaced(fact_questions("train", relations=TAUGHT), limit)
        test = evenly_spaced(fact_questions("test", relations=TAUGHT), None if n is None else 2 * n)
        held_out = evenly_spaced(fact_questions(relations=[HELD_OUT]), None if out is None else 3 * out)
        hopeless = evenly_spaced(fact_questions("test", relations=HOPELESS), self.scale.hopeless)
        if lab.scale_name == "tiny":
            pool, test, held_out = (
                taught_to_random(lm, part, self.scale.new_tokens) for part in (pool, test, held_out)
            )
        check_disjoint(pool, [*test, *held_out, *hopeless])
        estimate = partial(
            estimate_knowledge, lm, max_new_tokens=self.scale.new_tokens, word_boundary=True,
            cache=lab.folder / "knowledge.jsonl",
        )  # fmt: skip
        self.pool = estimate(pool, m=self.scale.m)
        greedy = estimate([*test, *held_out], m=1)
        replies = {row.question.id: row.greedy for row in greedy}
        loose = judge([*test, *held_out], list(replies.values()), IDK, word_boundary=False)
        pairs = zip(loose, greedy, strict=True)
        self.substring_only = sum(a.loosely_correct != b.greedy_is.loosely_correct for a, b in pairs)
        test_rows = balanced(greedy[: len(test)], n)
        self.sets = {
            "test": [row.question for row in test_rows],
            "held out": [row.question for row in balanced(greedy[len(test) :], out)],
            "invented": prior_unknown_qa(self.scale.invented, seed=0, taken=place_names()),
            "hopeless": hopeless,
        }
        known = [row.question for row in test_rows if row.known]
        sure = {row.question.id for row in estimate(known, m=self.scale.m) if row.accuracy == 1}
        sure = sure or {row.id for row in known}
        self.sure = [i for i, row in enumerate(self.sets["test"]) if row.id in sure]
        self.plain, self.replies = self.ask(lm, honest=False, given=replies)

    def ask(
        self, lm: LanguageModel, *, honest: bool = True, given: dict[str, str] | None = None
    ) -> tuple[Judgements, list[str]]:
        """Ask one arm everything; return what its replies are, and those to the test questions.

        Args:
            honest: whether the prompt permits to decline.
            given: replies by question id that were given already.
        """
        replies = dict(given or {})
        left = [row for rows in self.sets.values() for row in rows if row.id not in replies]
        texts = ask(lm, left, honest=honest, max_new_tokens=self.scale.new_tokens)
        replies |= {row.id: text for row, text in zip(left, texts, strict=True)}
        groups = {name: [replies[row.id] for row in rows] for name, rows in self.sets.items()}
        return {name: judge(self.sets[name], group, IDK) for name, group in groups.items()}, groups["test"]

    def record(self, judged: Judgements, replies: Sequence[str] = (), **facts: Any) -> dict[str, Any]:
        """Score one arm against the unaligned model's replies; "sure" is 1 where a question that it is sure of is
        declined."""
        scores = compared(self.plain, judged)
        sure = [scores["test"]["declined"][i] for i in self.sure]
        return {**scores, "sure": sure, "replies": list(replies), **facts}


def taught_to_random(lm: LanguageModel, questions: Sequence[FactQuestion], tokens: int) -> list[FactQuestion]:
    """Make every other reply of a model that knows nothing right, so that tiny scale has both kinds; see the note."""
    replies = ask(lm, questions, max_new_tokens=tokens)
    return [
        replace(row, answers=(reply,) if k % 2 == 0 and normal_answer(reply) else row.answers, relation="tiny")
        for k, (row, reply) in enumerate(zip(questions, replies, strict=True))
    ]


@experiment("honesty", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Ask the model what it knows, train the arms for each seed, ask all of them the same, and compare."""
    scale, lm = lab.scale, load(lab)
    lab.log("asking the unaligned model what it knows")
    exam = Exam(lab, lm)
    describe(lab, scale, exam)
    lab.shared("unaligned", lambda: exam.record(exam.plain, exam.replies))
    lab.shared("prompt-based", lambda: exam.record(*exam.ask(lm)))
    lab.shared(ALWAYS, lambda: exam.record(declining(exam.plain)))
    for seed in lab.seeds:
        sweep = {f"ABSOLUTE, τ = {tau:g}": tau for tau in scale.taus} if lab.is_first(seed) else {}
        for arm in (*VARIANTS, *sweep):
            lab.log(f"seed {seed} · {arm}: training {scale.steps} steps")
            started = time.perf_counter()
            tuned = train(lab, lm, exam, VARIANTS.get(arm, "absolute"), seed, sweep.get(arm, HonestyTraining.tau))
            seconds = time.perf_counter() - started
            with tuned.merged():
                judged, replies = exam.ask(tuned)
            record = exam.record(judged, replies, seconds=seconds)
            lab.record(arm, seed, record)
            if arm in CHANCE:
                counts = {name: sum(record[name]["declined"]) for name in exam.sets}
                lab.record(CHANCE[arm], seed, exam.record(declining(exam.plain, counts, seed=seed)))
            lm = tuned.without_lora()
        for claim, (value, baseline, method, control) in CLAIMS.items():
            lab.compare(claim, seed, value, baseline=baseline, method=method, control=control)
        for arm in ("ABSOLUTE", "CONFIDENCE-VERB") if lab.is_first(seed) else ():
            rows, after = exam.sets["test"], lab.records(arm)[seed]["replies"]
            for i in range(0, len(rows), max(1, len(rows) // 4)):  # evenly spaced, not chosen by what is said
                lab.example(rows[i].question, exam.replies[i], after[i], note=arm)
    present(lab, scale)


def train(lab: Lab, lm: LanguageModel, exam: Exam, variant: Variant, seed: int, tau: float) -> LanguageModel:
    """Train one arm."""
    scale: Scale = lab.scale
    method = HonestyTraining(
        variant, tau=tau, m=scale.m, questions=scale.questions, lora_r=scale.lora_r, lora_alpha=scale.lora_alpha,
        fit=FitConfig(
            steps=scale.steps, lr=scale.lr, weight_decay=0.1, warmup=0.05, batch_size=scale.batch, seed=seed
        ),
    )  # fmt: skip
    return method.align(lm, exam.pool, progress=lab.bars.shown)[0]


def describe(lab: Lab, scale: Scale, exam: Exam) -> None:
    """Put the protocol and the limits, which apply to every seed, into the evidence."""
    known = sum(row.known for row in exam.pool)
    lab.protocol(
        questions=f"{len(exam.pool)} in the training pool, {known} of them known; "
        + ", ".join(f"{len(rows)} {name}" for name, rows in exam.sets.items()),
        sure=f"{len(exam.sure)} test questions are answered correctly in all of {scale.m} samples",
        held_out_relation=HELD_OUT,
        taught=f"up to {scale.questions} questions a seed, balanced by relation; the paper fine-tunes all weights",
        matching=f"whole words; {exam.substring_only} unaligned replies hold an answer within another word alone, and "
        "would count as correct upstream",
        templates=asdict(TEMPLATES),
    )
    for text in NOTES if lab.scale_name == "tiny" else NOTES[:-1]:
        lab.note(text)


def present(lab: Lab, scale: Scale) -> None:
    """Show tables and figures over all seeds."""
    arms = lab.arms(*ARMS, *CHANCE.values(), ALWAYS)
    lab.arm_table("What each arm does", arms, {
        "prudence": share("test.report.prudence.estimate"),
        "over-conservativeness": share("test.report.over_conservativeness.estimate"),
        "honesty": share_interval("test.honesty"), "accuracy": share("test.right"),
        "honesty, held-out relation": share_interval("held out.honesty"), "invented": share("invented.declined"),
        "hopeless": share("hopeless.declined"), "training, s": number("seconds", ".0f"),
    }, "Means over seeds, 95 % intervals over seeds and questions. Over-conservativeness: answered correctly before, "
       "now declined. Invented, hopeless: share declined.")  # fmt: skip
    verbal = {}
    for arm in ("CONFIDENCE-NUM", "CONFIDENCE-VERB"):
        replies, right = ([x for record in arms[arm] for x in read(record, key)] for key in ("replies", "test.right"))
        verbal[arm] = [stated_calibration(replies, right, TEMPLATES.stated)]
    lab.arm_table("Is a stated confidence worth its number?", verbal, {
        "replies that state a confidence": number("n", ".0f"), "mean confidence": share("confidence"),
        "right": share("accuracy"), "ECE": number("ece", ".3f"), "Brier": number("brier", ".3f"),
    }, "Test questions, all seeds together.")  # fmt: skip
    drawn = ("ABSOLUTE", "MULTISAMPLE")
    tables = {arm: np.mean([record["test"]["matrix"] for record in arms[arm]], axis=0) for arm in drawn}
    lab.figure(
        "Before and after", plots.matrices, tables=tables, names=KINDS, xlabel="after", ylabel="before", spec=".0f",
        panels=2,
        alt="Number of test questions by what the reply was before and what it is after training, for ABSOLUTE and "
        "MULTISAMPLE.",
        caption="Means over seeds. Wished for: the upper left corner stays, the rest of the last column fills.",
    )  # fmt: skip
    sets = {"test questions": "test.honesty", "held-out relation": "held out.honesty"}
    lab.figure(
        "Honesty by arm", plots.forest, rows=list(arms), xlabel="honesty, %", line=50,
        series={label: [interval(runs, key) for runs in arms.values()] for label, key in sets.items()},
        alt="Honesty score of each arm on test questions and on the held-out relation, with intervals, beside the 50 % "
        "that answering everything or nothing gives.",
        caption="Bars: 95 % over seeds and questions. The line is where a model stands that never or always declines.",
    )  # fmt: skip
    first = lab.wanted[0]
    points = {HonestyTraining.tau: "ABSOLUTE", **{tau: f"ABSOLUTE, τ = {tau:g}" for tau in scale.taus}}
    reports = [lab.records(arm)[first]["test"]["report"] for arm in points.values()]
    scores = ("prudence", "over_conservativeness", "honesty")
    lab.figure(
        "What τ trades", plots.intervals, x=list(points), xlabel="τ: least expected accuracy that is answered",
        ylabel="%",
        series={name.replace("_", "-"): [Interval(**report[name]) for report in reports] for name in scores},
        alt="Prudence, over-conservativeness and honesty of ABSOLUTE for several thresholds τ.",
        caption=f"Seed {first} alone: no claim rests on it. Bars: 95 % over questions.",
    )  # fmt: skip
