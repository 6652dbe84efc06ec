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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trued.data.facts import FactQuestion, check_disjoint, fact_questions, place_names
from trued.experiments._language import load
from trued.lab.experiment import Lab, experiment
from trued.language.engine.model import LanguageModel
from trued.language.measure.honesty.asking import TEMPLATES
from trued.language.measure.honesty.calibration import calibration
from trued.language.measure.honesty.check import ask, judge
from trued.language.measure.honesty.invented import prior_unknown_qa
from trued.language.measure.honesty.knowledge import Known, balanced, estimate_knowledge
from trued.language.measure.honesty.matching import normal_answer
from trued.language.measure.honesty.scores import HonestyReport, IdkDetector, Judged, evolution, question_scores
from trued.language.train.honesty.align import HonestyTraining, Variant
from trued.learn.fit.loop import FitConfig
from trued.learn.statistics import paired_bootstrap

TAUGHT = ("capital", "capital-of", "continent", "currency", "element-symbol", "atomic-number")
HELD_OUT = "city-country"
HOPELESS = ("population", "calling-code", "domain")
VARIANTS: dict[str, Variant] = {
    "fine-tuned": "fine-tuned", "ABSOLUTE": "absolute", "CONFIDENCE-NUM": "confidence-num",
    "CONFIDENCE-VERB": "confidence-verb", "MULTISAMPLE": "multisample",
}  # fmt: skip
ARMS = ("unaligned", "prompt-based", *VARIANTS)
BESIDE_CHANCE = ("ABSOLUTE", "CONFIDENCE-VERB", "MULTISAMPLE")
IDK = Judged("idk", False)


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


@dataclass(frozen=True)
class Questions:
    """The questions of one run.

    Args:
        pool: what the unaligned model knows of the training questions.
        sets: what every arm is asked, by name: "test" and "held out" are balanced, "invented" has no answers, and
            "hopeless" has answers that nobody remembers.
        sure: ids of the test questions that the unaligned model answers correctly in every sample.
        unaligned: replies of the unaligned model to the questions of the balanced sets, by id.
        substring_only: how many of these hold an answer within another word alone.
    """

    pool: list[Known]
    sets: dict[str, list[FactQuestion]]
    sure: frozenset[str]
    unaligned: dict[str, str]
    substring_only: int


@experiment("honesty", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Ask the model what it knows, train the arms for each seed, ask all of them the same, and compare."""
    scale: Scale = lab.scale
    lm = load(lab)
    lab.bars.log("honesty · asking the unaligned model what it knows")
    asked = questions_of(lab, lm)
    _describe(lab, scale, asked)
    fixed = {
        "unaligned": evaluate(lm, asked, scale, honest=False, known=asked.unaligned),
        "prompt-based": evaluate(lm, asked, scale),
    }
    for seed in lab.seeds:
        for arm, found in fixed.items():
            lab.record(arm, seed, found)
        sweep = {f"ABSOLUTE, τ = {tau:g}": tau for tau in scale.taus} if seed == lab.wanted[0] else {}
        for arm in (*VARIANTS, *sweep):
            started = time.perf_counter()
            training = _training(scale, VARIANTS.get(arm, "absolute"), seed, sweep.get(arm, HonestyTraining.tau))
            lab.bars.log(f"honesty · seed {seed} · {arm}: training {scale.steps} steps")
            tuned, _ = training.align(lm, asked.pool, progress=lab.bars.shown)
            trained = time.perf_counter() - started
            with tuned.merged():
                found = evaluate(tuned, asked, scale)
            lab.record(arm, seed, {**found, "seconds": trained})
            lm = tuned.without_lora()
        for arm in BESIDE_CHANCE:
            base, found = (lab.records(name)[seed] for name in ("unaligned", arm))
            lab.record(_random_as(arm), seed, _random_idk(base, found, seed))
        lab.record("always idk", seed, _always_idk(lab.records("unaligned")[seed]))
        _measure(lab, seed, asked)
        if seed == lab.wanted[0]:
            _examples(lab, seed, asked)
    _present(lab, scale, asked)


def questions_of(lab: Lab, lm: LanguageModel) -> Questions:
    """Choose the questions of the run by what the unaligned model knows; the same for every seed."""
    scale: Scale = lab.scale
    pool = _spread(fact_questions("train", relations=TAUGHT), scale.pool)
    test = _spread(fact_questions("test", relations=TAUGHT), None if scale.test is None else 2 * scale.test)
    held_out = _spread(fact_questions(relations=[HELD_OUT]), None if scale.held_out is None else 3 * scale.held_out)
    hopeless = _spread(fact_questions("test", relations=HOPELESS), scale.hopeless)
    if lab.scale_name == "tiny":
        pool, test, held_out = ([*_taught_to_random(lm, part, scale)] for part in (pool, test, held_out))
    check_disjoint(pool, [*test, *held_out, *hopeless])
    settings: dict[str, Any] = {
        "max_new_tokens": scale.new_tokens, "word_boundary": True, "cache": lab.folder / "knowledge.jsonl",
    }  # fmt: skip
    table = estimate_knowledge(lm, pool, m=scale.m, **settings)
    greedy = estimate_knowledge(lm, [*test, *held_out], m=1, **settings)
    loose = judge(
        [*test, *held_out], [row.greedy for row in greedy], IdkDetector(TEMPLATES.idk), word_boundary=False
    )  # fmt: skip
    chosen = balanced(greedy[: len(test)], scale.test)
    known = [row.question for row in chosen if row.known]
    sampled = estimate_knowledge(lm, known, m=scale.m, **settings)
    sure = [row.question.id for row in sampled if row.accuracy == 1]
    return Questions(
        table,
        {
            "test": [row.question for row in chosen],
            "held out": [row.question for row in balanced(greedy[len(test) :], scale.held_out)],
            "invented": prior_unknown_qa(scale.invented, seed=0, taken=place_names()),
            "hopeless": hopeless,
        },
        frozenset(sure or [row.id for row in known]),
        {row.question.id: row.greedy for row in greedy},
        sum(a.loosely_correct != b.greedy_is.loosely_correct for a, b in zip(loose, greedy, strict=True)),
    )


def _spread(questions: Sequence[FactQuestion], limit: int | None) -> list[FactQuestion]:
    """At most `limit` questions, evenly spaced, so that every relation keeps its share."""
    if limit is None or limit >= len(questions):
        return list(questions)
    return [questions[k * len(questions) // limit] for k in range(limit)]


def _taught_to_random(lm: LanguageModel, questions: Sequence[FactQuestion], scale: Scale) -> list[FactQuestion]:
    """Make every other reply of a model that knows nothing right, so that tiny scale has both kinds; see the note."""
    replies = ask(lm, questions, max_new_tokens=scale.new_tokens)
    return [
        replace(row, answers=(reply,), relation="tiny")
        if k % 2 == 0 and normal_answer(reply)
        else replace(row, relation="tiny")
        for k, (row, reply) in enumerate(zip(questions, replies, strict=True))
    ]


def _training(scale: Scale, method: Variant, seed: int, tau: float) -> HonestyTraining:
    config = FitConfig(
        steps=scale.steps, lr=scale.lr, weight_decay=0.1, warmup=0.05, batch_size=scale.batch, seed=seed
    )  # fmt: skip
    return HonestyTraining(
        method, tau=tau, m=scale.m, questions=scale.questions, lora_r=scale.lora_r, lora_alpha=scale.lora_alpha,
        fit=config,
    )  # fmt: skip


# -- one arm -----------------------------------------------------------------------------------------------------------


def evaluate(
    lm: LanguageModel, asked: Questions, scale: Scale, *, honest: bool = True, known: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Ask one arm everything; per set the replies, what they are, and whether they hold the right answer.

    Args:
        honest: whether the prompt permits to decline.
        known: replies by question id that were given already: the balance of the sets rests on exactly these.
    """
    replies = dict(known or {})
    left = [row for rows in asked.sets.values() for row in rows if row.id not in replies]
    texts = ask(lm, left, honest=honest, max_new_tokens=scale.new_tokens)
    replies |= {row.id: text for row, text in zip(left, texts, strict=True)}
    found: dict[str, Any] = {}
    for name, rows in asked.sets.items():
        said = [replies[row.id] for row in rows]
        judged = judge(rows, said, IdkDetector(TEMPLATES.idk))
        found[name] = {
            "category": [one.category for one in judged],
            "right": [int(one.loosely_correct) for one in judged],
            "replies": said if name == "test" else said[:4],
        }
    return found


def _random_as(arm: str) -> str:
    return f"random idk as {arm}"


def _random_idk(unaligned: dict[str, Any], arm: dict[str, Any], seed: int) -> dict[str, Any]:
    """The unaligned replies, of which as many as the arm declines, drawn at random in each set, decline."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, part in unaligned.items():
        count = arm[name]["category"].count("idk")
        drawn = set(rng.permutation(len(part["category"]))[:count].tolist())
        found[name] = {
            "category": ["idk" if i in drawn else one for i, one in enumerate(part["category"])],
            "right": [0 if i in drawn else one for i, one in enumerate(part["right"])],
        }
    return found


def _always_idk(unaligned: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"category": ["idk"] * len(part["category"]), "right": [0] * len(part["right"])}
        for name, part in unaligned.items()
    }  # fmt: skip


def _judged(found: dict[str, Any], name: str) -> dict[str, Judged]:
    pairs = zip(found[name]["category"], found[name]["right"], strict=True)
    return {str(i): Judged(category, bool(right)) for i, (category, right) in enumerate(pairs)}


def _scores(unaligned: dict[str, Any], found: dict[str, Any], name: str = "test") -> list[float]:
    """One number a question of a balanced set; their mean is the honesty score."""
    return list(question_scores(_judged(unaligned, name), _judged(found, name)).values())


def _report(unaligned: dict[str, Any], found: dict[str, Any], name: str = "test") -> HonestyReport:
    return evolution(_judged(unaligned, name), _judged(found, name))


# -- the claims --------------------------------------------------------------------------------------------------------


def _measure(lab: Lab, seed: int, asked: Questions) -> None:
    """Hand the claims' numbers of one seed to the lab."""
    names = [*ARMS, "always idk", *map(_random_as, BESIDE_CHANCE)]
    arms = {name: lab.records(name)[seed] for name in names}
    base = arms["unaligned"]
    honesty = {name: _scores(base, found) for name, found in arms.items()}
    outside = {name: _scores(base, found, "held out") for name, found in arms.items()}
    declined = {name: _declined(found, "invented") for name, found in arms.items()}
    unknown = [i for i, category in enumerate(base["test"]["category"]) if category != "correct"]
    sure = [i for i, row in enumerate(asked.sets["test"]) if row.id in asked.sure]

    lab.measure("honesty-rises", seed, baseline=honesty["unaligned"], method=honesty["MULTISAMPLE"])
    lab.control("honesty-rises", seed, honesty[_random_as("MULTISAMPLE")])
    lab.measure("training-beats-asking", seed, baseline=honesty["prompt-based"], method=honesty["CONFIDENCE-VERB"])
    lab.control("training-beats-asking", seed, honesty["always idk"])
    lab.measure("learned-boundary", seed, baseline=honesty[_random_as("ABSOLUTE")], method=honesty["ABSOLUTE"])
    lab.control("learned-boundary", seed, honesty["always idk"])
    prudence = {arm: [honesty[arm][i] for i in unknown] for arm in ("ABSOLUTE", "MULTISAMPLE")}
    lab.measure("multisample-most-prudent", seed, baseline=prudence["ABSOLUTE"], method=prudence["MULTISAMPLE"])
    lab.measure("accuracy-kept", seed, baseline=base["test"]["right"], method=arms["CONFIDENCE-VERB"]["test"]["right"])
    lab.control("accuracy-kept", seed, arms[_random_as("CONFIDENCE-VERB")]["test"]["right"])
    lab.measure("answers-alone-do-not-help", seed, baseline=honesty["unaligned"], method=honesty["fine-tuned"])
    lab.measure("unknowable-declined", seed, baseline=declined["unaligned"], method=declined["MULTISAMPLE"])
    lab.control("unknowable-declined", seed, declined["fine-tuned"])
    lost = {name: [_declined(found, "test")[i] for i in sure] for name, found in arms.items()}
    lab.measure("sure-still-answered", seed, baseline=lost["unaligned"], method=lost["CONFIDENCE-VERB"])
    lab.control("sure-still-answered", seed, lost["always idk"])
    lab.measure("beyond-training", seed, baseline=outside["unaligned"], method=outside["MULTISAMPLE"])
    lab.control("beyond-training", seed, outside[_random_as("MULTISAMPLE")])


def _declined(found: dict[str, Any], name: str) -> list[int]:
    return [int(category == "idk") for category in found[name]["category"]]


# -- what is shown -----------------------------------------------------------------------------------------------------


def _describe(lab: Lab, scale: Scale, asked: Questions) -> None:
    """Protocol and limits, which hold for every seed."""
    known = sum(row.known for row in asked.pool)
    lab.protocol(
        questions=f"{len(asked.pool)} in the training pool, {known} of them known; "
        + ", ".join(f"{len(rows)} {name}" for name, rows in asked.sets.items()),
        sure=f"{len(asked.sure)} test questions are answered correctly in all of {scale.m} samples",
        held_out_relation=HELD_OUT,
        taught=f"up to {scale.questions} questions a seed, balanced by relation; {scale.steps} steps of {scale.batch}",
        adapter=f"LoRA r {scale.lora_r}, alpha {scale.lora_alpha}, lr {scale.lr:g}; the paper fine-tunes all weights",
        matching=f"whole words; {asked.substring_only} unaligned replies hold an answer within another word alone, and "
        "would count as correct upstream",
        templates=asdict(TEMPLATES),
    )
    lab.note(
        "The facts are geography and chemistry from packaged tables; the paper's are TriviaQA's. Templates are our own."
    )
    lab.note(
        "A small model knows little: the questions are chosen such that half of them are known, which no user's are."
    )
    lab.note(
        "The random control is drawn once a seed, at the rate of the arm that it stands beside; what it answers, it "
        "answers as the unaligned model does."
    )
    lab.note(
        "Invented towns and papers stand for unanswerable questions; real questions without an answer are subtler."
    )
    if lab.scale_name == "tiny":
        lab.note(
            "A random model answers nothing: every other of its replies was declared right. No number means anything."
        )


def _present(lab: Lab, scale: Scale, asked: Questions) -> None:
    """Tables and figures over all seeds."""
    shown = [*ARMS, *map(_random_as, BESIDE_CHANCE), "always idk"]
    runs = {arm: list(lab.records(arm).values()) for arm in shown}
    bases = runs["unaligned"]
    lab.table("What each arm does", [_row(arm, bases, found) for arm, found in runs.items()],
              caption="Means over seeds, 95 % intervals over seeds and questions. Over-conservativeness: answered "
              "correctly before, now declined. Invented, hopeless: share declined.")  # fmt: skip
    _calibration_table(lab, runs)
    _sweep(lab, scale)
    lab.figure(
        "Before and after",
        lambda panels: _draw_matrices(panels, bases, {arm: runs[arm] for arm in ("ABSOLUTE", "MULTISAMPLE")}),
        panels=2,
        alt="Number of test questions by what the reply was before and what it is after training, for ABSOLUTE and "
        "MULTISAMPLE.",
        caption="Means over seeds. Wished for: the upper left corner stays, the rest of the last column fills.",
    )
    lab.figure(
        "Honesty by arm",
        lambda axes: _draw_honesty(axes, bases, runs),
        alt="Honesty score of each arm on test questions and on the held-out relation, with intervals, beside the 50 % "
        "that answering everything or nothing gives.",
        caption="Bars: 95 % over seeds and questions. The line is where a model stands that never or always declines.",
    )


def _row(arm: str, bases: list[dict[str, Any]], runs: list[dict[str, Any]]) -> dict[str, str]:
    reports = [_report(base, one) for base, one in zip(bases, runs, strict=True)]

    def mean(values: Sequence[float]) -> str:
        return f"{np.mean(values):.0%}"

    honesty, outside = (_interval(bases, runs, name) for name in ("test", "held out"))
    seconds = [one["seconds"] for one in runs if "seconds" in one]
    return {
        "arm": arm,
        "prudence": mean([one.prudence.estimate for one in reports]),
        "over-conservativeness": mean([one.over_conservativeness.estimate for one in reports]),
        "honesty": f"{honesty[0]:.0%} [{honesty[1]:.0%}, {honesty[2]:.0%}]",
        "accuracy": mean([one.accuracy.estimate for one in reports]),
        "honesty, held-out relation": f"{outside[0]:.0%} [{outside[1]:.0%}, {outside[2]:.0%}]",
        "invented": mean([float(np.mean(_declined(one, "invented"))) for one in runs]),
        "hopeless": mean([float(np.mean(_declined(one, "hopeless"))) for one in runs]),
        "training, s": f"{np.mean(seconds):.0f}" if seconds else "–",
    }


def _interval(bases: list[dict[str, Any]], runs: list[dict[str, Any]], name: str) -> tuple[float, float, float]:
    scores = np.array([_scores(base, one, name) for base, one in zip(bases, runs, strict=True)])
    found = paired_bootstrap(np.zeros_like(scores), scores, seed=0)
    return found.estimate, found.low, found.high


def _calibration_table(lab: Lab, runs: dict[str, list[dict[str, Any]]]) -> None:
    rows = []
    for arm in ("CONFIDENCE-NUM", "CONFIDENCE-VERB"):
        said, right = [], []
        for one in runs[arm]:
            for reply, hit in zip(one["test"]["replies"], one["test"]["right"], strict=True):
                if (stated := TEMPLATES.stated(reply)) is not None:
                    said.append(stated)
                    right.append(bool(hit))
        found = calibration(said, right) if said else None
        rows.append({
            "arm": arm,
            "replies that state a confidence": len(said),
            "mean confidence": f"{np.mean(said):.0%}" if said else "–",
            "right": f"{np.mean(right):.0%}" if said else "–",
            "ECE": f"{found.ece:.3f}" if found else "–",
            "Brier": f"{found.brier:.3f}" if found else "–",
        })  # fmt: skip
    lab.table("Is a stated confidence worth its number?", rows, caption="Test questions, all seeds together.")


def _sweep(lab: Lab, scale: Scale) -> None:
    seed = lab.wanted[0]
    base = lab.records("unaligned").get(seed)
    points = {HonestyTraining.tau: "ABSOLUTE", **{tau: f"ABSOLUTE, τ = {tau:g}" for tau in scale.taus}}
    if base is None:
        return
    reports = {tau: _report(base, lab.records(name)[seed]) for tau, name in points.items()}
    lab.figure(
        "What τ trades",
        lambda axes: _draw_sweep(axes, reports),
        alt="Prudence, over-conservativeness and honesty of ABSOLUTE for several thresholds τ.",
        caption=f"Seed {seed} alone: no claim rests on it. Bars: 95 % over questions.",
    )


def _draw_matrices(panels: Any, bases: list[dict[str, Any]], arms: dict[str, list[dict[str, Any]]]) -> None:
    for axes, (arm, runs) in zip(panels, arms.items(), strict=True):
        counts = np.mean([_report(base, one).matrix() for base, one in zip(bases, runs, strict=True)], axis=0)
        axes.imshow(counts, cmap="Blues", vmin=0)
        for (i, j), count in np.ndenumerate(counts):
            axes.text(
                j, i, f"{count:.0f}", ha="center", va="center", color="white" if count > counts.max() / 2 else "0.2"
            )
        axes.set_xticks(range(3), ["correct", "wrong", "idk"])
        axes.set_yticks(range(3), ["correct", "wrong", "idk"])
        axes.set_xlabel("after")
        axes.set_ylabel("before")
        axes.set_title(arm)


def _draw_honesty(axes: Any, bases: list[dict[str, Any]], runs: dict[str, list[dict[str, Any]]]) -> None:
    shown = list(runs)[::-1]
    for offset, (name, label) in enumerate((("held out", "held-out relation"), ("test", "test questions"))):
        found = np.array([_interval(bases, runs[arm], name) for arm in shown]) * 100
        places = np.arange(len(shown)) + 0.2 * (2 * offset - 1)
        spread = np.abs(found[:, 1:] - found[:, :1]).T
        axes.errorbar(found[:, 0], places, xerr=spread, fmt="o", capsize=3, label=label)
    axes.axvline(50, color="0.6", lw=1, zorder=0)
    axes.set_yticks(range(len(shown)), shown)
    axes.set_xlabel("honesty, %")
    axes.legend(frameon=False)


def _draw_sweep(axes: Any, reports: dict[float, HonestyReport]) -> None:
    for name, label in (
        ("prudence", "prudence"), ("over_conservativeness", "over-conservativeness"), ("honesty", "honesty"),
    ):  # fmt: skip
        found = [getattr(one, name) for one in reports.values()]
        middle = np.array([100 * one.estimate for one in found])
        spread = [middle - [100 * one.low for one in found], [100 * one.high for one in found] - middle]
        axes.errorbar(list(reports), middle, yerr=np.abs(spread), marker="o", capsize=3, label=label)
    axes.set_xlabel("τ: least expected accuracy that is answered")
    axes.set_ylabel("%")
    axes.legend(frameon=False)


def _examples(lab: Lab, seed: int, asked: Questions) -> None:
    """A few test questions, evenly spaced, before and after; not chosen by what was said."""
    rows = asked.sets["test"]
    before = lab.records("unaligned")[seed]["test"]["replies"]
    for arm in ("ABSOLUTE", "CONFIDENCE-VERB"):
        after = lab.records(arm)[seed]["test"]["replies"]
        for i in range(0, len(rows), max(1, len(rows) // 4)):
            lab.example(rows[i].question, before[i], after[i], note=arm)
