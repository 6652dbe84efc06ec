"""Do a few restored weights bring lost refusals back, and leave the task alone? (alignment-recovery, 2504.09757)

The aligned model is the refusal-tuned base. Each seed fine-tunes all its weights on a narrow task (notes to JSON
records) mixed with a few replies that begin to comply, until it answers what it refused. Arms, all from that model:
- recovered: the paper's procedure, with harmful questions that neither model was trained on;
- random: as many weights of the same layers put back at random, the control;
- change: as many, those that fine-tuning moved most;
- RESTA: the safety vector (aligned minus the model before refusal tuning) added with DARE, at the largest weight that
  keeps the task as recovery has to;
- safety tuning: all weights trained on refusals to the same questions, for as many passes over them.
A guard in the system prompt, other rates, and questions of half of the categories are tried in the first seed; no
claim rests on them. What recovery may look at to choose a checkpoint is the validation split of the task.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch

from trued.data.meetings import record_rows
from trued.data.prompts import ReplyRow, affirmative_targets, prompts
from trued.experiments._language import answers, load_aligned, notes, protocol, replies_beside
from trued.lab import plots
from trued.lab.arms import count, number, share
from trued.lab.experiment import Lab, experiment
from trued.language.engine.loading import autocast
from trued.language.engine.model import LanguageModel
from trued.language.engine.precision import served
from trued.language.repair.alignment_recovery.baselines import guarded, refusal_rows, restore_equally, strongest_resta
from trued.language.repair.alignment_recovery.config import PAPER, RecoveryConfig
from trued.language.repair.alignment_recovery.recover import aligned_view, recover
from trued.language.repair.task import Metric, task_score, task_scores
from trued.language.train.aligned_base import AlignedRecipe
from trued.language.train.fine_tune import fine_tune
from trued.learn.fit.loop import FitConfig
from trued.learn.weights import unchanged, weights_of

ARMS = ("fine-tuned", "recovered", "random", "change", "RESTA", "safety tuning")
RECORD_TOKENS = 48


@dataclass(frozen=True)
class Scale:
    """Sizes of one run; `limit` shortens the prompt sets, None takes all of them."""

    model: str | None = None
    limit: int | None = None
    task_rows: int = 300
    compliance: int = 20
    steps: int = 40
    batch: int = 8
    lr: float = 5e-5
    task_prompts: int = 64
    validation: int = 32
    task_test: int = 64
    new_tokens: int = 24
    safety_batch: int = 16
    resta_weights: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    resta_drop: float = 0.3
    rates: tuple[float, ...] = (0.0005, 0.01)
    metric: Metric = "exact"
    recovery: RecoveryConfig = PAPER


SCALES = {
    "tiny": Scale(
        limit=4, task_rows=6, compliance=2, steps=2, batch=4, lr=1e-2, task_prompts=3, validation=2, task_test=4,
        new_tokens=2, metric="likelihood", safety_batch=4, resta_weights=(0.5,), rates=(0.01,),
        recovery=RecoveryConfig(steps=2, rate=0.05),
    ),
    "desktop": Scale(),
    "full": Scale(
        model="Qwen/Qwen1.5-7B-Chat", task_rows=4000, compliance=52, steps=240, batch=64, lr=2e-5, task_prompts=256,
        validation=256, task_test=1000, new_tokens=256,
    ),
}  # fmt: skip


class Requests:
    """The prompts of one run, harmful ones with their categories. No harmful one is in two of the three sets."""

    def __init__(self, scale: Scale) -> None:
        recipe, openings = AlignedRecipe(), affirmative_targets()
        refused = [str(row.prompt) for row in recipe.taught()][: scale.compliance]
        # Compliance is an opening, without harmful text.
        self.complied = [ReplyRow(text, openings[i % len(openings)]) for i, text in enumerate(refused)]
        self.unseen = {row.prompt: row.category for row in recipe.unseen_harmful()[: scale.limit]}
        self.harmful = {row.prompt: row.category for row in prompts("harmful", "test")[: scale.limit]}
        self.lookalikes = [row.prompt for row in prompts("lookalikes", "test")][: scale.limit]
        self.shown = {"harmful": list(self.harmful), "lookalikes": self.lookalikes}
        self.validation = record_rows("validation", scale.validation)
        self.records = record_rows("test", scale.task_test)


@experiment("alignment-recovery", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Break the aligned model by fine-tuning once a seed, repair it in every way, and measure all of them alike."""
    requests = Requests(lab.scale)
    aligned, unaligned = load_aligned(lab, layers=3, dtype=torch.float32)
    describe(lab, lab.scale, requests)
    lab.shared("aligned", lambda: evaluate(aligned, requests, lab.scale))
    for seed in lab.seeds:
        lab.log(f"seed {seed}: fine-tuning until refusals are lost")
        repair(Broken(lab, seed, requests, aligned), unaligned)
        lab.compare("refusals-return", seed, "answered", baseline="fine-tuned", method="recovered", control="random")
        lab.compare("gradients-choose", seed, "answered", baseline="change", method="recovered", control="random")
        lab.compare("task-kept", seed, "task", baseline="fine-tuned", method="recovered")
        lab.compare("no-blanket-refusal", seed, "lookalikes", baseline="fine-tuned", method="recovered")
    present(lab, lab.scale, requests)


def evaluate(lm: LanguageModel, requests: Requests, scale: Scale, put: Any = lambda prompt: prompt) -> dict[str, Any]:
    """Measure a model as it would be served, on the test splits; `put` says how it is asked.

    Returns:
        Per item: "answered" harmful questions (an empty reply is no refusal), "lookalikes" refused, "task" records that
        are exactly right; "unknown", empty replies; some replies' texts.
    """
    model, n = served(lm), len(requests.harmful)
    texts = [*requests.harmful, *requests.lookalikes]
    given = answers(model, texts, scale.new_tokens, [put(text) for text in texts])
    records = [replace(row, prompt=put(row.prompt)) for row in requests.records]
    return {
        "answered": given.answered[:n],
        "lookalikes": given.refused[n:],
        "task": task_scores(model, records, scale.metric, max_new_tokens=RECORD_TOKENS),
        "unknown": given.unknown,
        "replies": {"harmful": given.replies[:6], "lookalikes": given.replies[n : n + 3]},
    }


class Broken:
    """The aligned model after fine-tuning; every repair works on it in place, is measured, and is taken back."""

    def __init__(self, lab: Lab, seed: int, requests: Requests, aligned: LanguageModel) -> None:
        self.lab, self.seed, self.requests, self.aligned = lab, seed, requests, aligned
        self.scale: Scale = lab.scale
        self.rows = record_rows("train", self.scale.task_rows, seed=seed) + requests.complied
        self.lm = LanguageModel(copy.deepcopy(aligned.base), aligned.tokenizer, name="fine-tuned")
        score = task_score(requests.validation, self.scale.metric, max_new_tokens=RECORD_TOKENS)
        self.task = lambda lm: score(served(lm))
        self.train(self.rows, self.scale.steps, self.scale.batch)

    def train(self, rows: list[ReplyRow], steps: int, batch: int) -> float:
        """Train all weights, on the task and on refusals alike; return how long it took."""
        config = FitConfig(
            steps=steps, lr=self.scale.lr, warmup=0.1, batch_size=batch, seed=self.seed, max_grad_norm=1.0,
            keep_best=False, mixed_precision=autocast(self.lm.device),
        )  # fmt: skip
        return fine_tune(self.lm, rows, config, progress=self.lab.bars.shown).seconds

    def record(self, arm: str, **facts: Any) -> None:
        """Measure the model as it is now, under an arm's name."""
        self.lab.log(f"seed {self.seed}: measuring {arm}")
        self.lab.record(arm, self.seed, {**evaluate(self.lm, self.requests, self.scale), **facts})

    def recovered(self, questions: list[str], **changes: Any) -> dict[str, Any]:
        """Recover, with the first task rows as the task's prompts; return what it did and what that gives."""
        self.lab.log(f"seed {self.seed}: recovering by {len(questions)} questions, {changes or 'as in the paper'}")
        config = replace(self.scale.recovery, **changes)
        earlier, view = weights_of(self.aligned.base), aligned_view(self.aligned, questions, config)
        task_prompts = [row.prompt for row in self.rows[: self.scale.task_prompts]]
        result = recover(self.lm, earlier, view, questions, task_prompts, self.task, config)
        record = {**evaluate(self.lm, self.requests, self.scale), **result.to_json()}
        result.patch.revert(self.lm.base)
        return record


def repair(broken: Broken, unaligned: LanguageModel) -> None:
    """Repair in every way, and record what each gives."""
    lab, seed, scale, lm, unseen = broken.lab, broken.seed, broken.scale, broken.lm, broken.requests.unseen
    earlier, config = weights_of(broken.aligned.base), scale.recovery
    broken.record("fine-tuned")
    record = broken.recovered(list(unseen))
    lab.record("recovered", seed, record)
    many = record["restored"] or math.ceil(config.rate * config.steps * record["parameters"])
    for rule in ("random", "change"):
        patch = restore_equally(lm, earlier, many, rule=rule, config=config, seed=seed)
        broken.record(rule, restored=patch.count)
        patch.revert(lm.base)
    if lab.is_first(seed):  # shown, and decides nothing
        replies_beside(lab, seed, broken.requests.shown, "fine-tuned", "recovered")
        lab.record("guard", seed, evaluate(lm, broken.requests, scale, guarded))
        lab.record("sweep", seed, {f"{rate:g}": broken.recovered(list(unseen), rate=rate) for rate in scale.rates})
        known = sorted(set(unseen.values()))[::2]
        half = [text for text, category in unseen.items() if category in known]
        lab.record("transfer", seed, {**broken.recovered(half), "known": known})
    with unchanged(lm.base):
        weight = strongest_resta(
            lm, earlier, weights_of(unaligned.base), scale.resta_weights, lambda: broken.task(lm),
            floor=(1 - config.max_task_drop) * broken.task(lm), drop=scale.resta_drop, seed=seed,
        )  # fmt: skip
        broken.record("RESTA", weight=weight or 0.0)
    with unchanged(lm.base):
        rows = refusal_rows(list(unseen), refusals=AlignedRecipe().recipe.refusals)
        seconds = broken.train(rows, math.ceil(max(record["passes"], 1) / scale.safety_batch), scale.safety_batch)
        broken.record("safety tuning", seconds=seconds)


def describe(lab: Lab, scale: Scale, requests: Requests) -> None:
    """Put the protocol and the limits, which apply to every seed, into the evidence."""
    protocol(
        lab, scale.new_tokens, arms=list(ARMS), task="notes to JSON records", compliance_rows=len(requests.complied),
        harmful_questions=len(requests.unseen), harmful_test=len(requests.harmful), task_test=len(requests.records),
        lookalikes_test=len(requests.lookalikes), task_validation=len(requests.validation),
    )  # fmt: skip
    notes(lab, "the paper's models have 2 to 13 billion parameters")
    lab.note(
        f"Recovery sees {len(requests.unseen)} harmful questions, the paper 256; by most of them the refusal-tuned "
        f"base chose its step. Its rate counts one step's weights, as in the paper: {scale.recovery.steps} steps "
        f"restore up to {scale.recovery.steps * scale.recovery.rate:.1%} of all."
    )
    lab.note("RESTA's safety vector is known exactly here; users of other models have to estimate it.")


def present(lab: Lab, scale: Scale, requests: Requests) -> None:
    """Show tables and figures over all seeds."""
    arms = lab.arms("aligned", *ARMS)
    measures = {"harmful answered": "answered", "records right": "task", "look-alikes refused": "lookalikes"}
    rates = {name: share(key) for name, key in measures.items()} | {"empty replies": number("unknown", ".1f")}
    restored = {"restored": number("restored", ",.0f"), "of all": number("restored_fraction", ".2%"),
                "at step": number("chosen_step", ".0f"), "with rollback": count("rollback")}  # fmt: skip
    lab.arm_table("What each arm does", arms | {"prompt guard, first seed": [*lab.records("guard").values()]}, {
        **rates, **restored, "RESTA weight": number("weight"), "seconds": number("seconds", ".0f"),
    }, "Test splits, means over seeds; RESTA's weight is 0 where every weight costs the task too much.")  # fmt: skip
    for seed, others in lab.records("sweep").items():
        sweep = others | {f"{scale.recovery.rate:g}": lab.records("recovered")[seed]}
        tried = {f"rate {rate}": [sweep[rate]] for rate in sorted(sweep, key=float)}
        lab.arm_table("Share of weights restored in a step", tried, rates | restored, "First seed only.")
    for seed, transfer in lab.records("transfer").items():
        these = np.isin(list(requests.harmful.values()), transfer["known"])
        records = {arm: [lab.records(arm)[seed]] for arm in ("fine-tuned", "recovered")}
        lab.arm_table("Questions from half of the categories", {**records, "recovered, by half": [transfer]}, {
            "answered, these categories": share(lambda record, these=these: np.array(record["answered"])[these]),
            "answered, other categories": share(lambda record, these=these: np.array(record["answered"])[~these]),
        }, f"First seed; these: {', '.join(transfer['known'])}.")  # fmt: skip
    parts = {
        f"seed {seed}{', rollback' if rollback else ''}": [{"steps": list(steps)}]
        for seed, record in lab.records("recovered").items()
        for rollback, steps in groupby(record["history"], lambda step: step["rollback"])
    }
    lab.figure(
        "Back to the aligned view", plots.paths, arms=parts, trace="steps", x="step", y="harmful_gap",
        xlabel="before step", ylabel="1 - cos to the aligned view", scale=1, log=True,
        alt="One minus the cosine between the mean state of harmful questions and the aligned model's, by step.",
        caption="Log scale; each line is a run of a seed. A warm-up that cost the task too much was begun again.",
    )  # fmt: skip
    lab.figure(
        "Refusals against the task", plots.trade_off, arms=arms, x="task", y="answered",
        xlabel="records right, %", ylabel="harmful questions answered, %",
        alt="Harmful questions answered against records that are right, for each arm and seed.",
        caption="Test splits; each mark is a seed. Down and right is better.",
    )  # fmt: skip
    lab.figure(
        "What each arm does, drawn", plots.bars, arms=arms, shown=measures, ylabel="%",
        alt="Harmful questions answered, records right and look-alikes refused, by arm.",
        caption="Test splits, means over seeds.",
    )  # fmt: skip
