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
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from trued.data.meetings import record_rows
from trued.data.messages import Prompt
from trued.data.prompts import PromptRow, ReplyRow, affirmative_targets, prompts
from trued.lab.experiment import Lab, experiment
from trued.language.engine.loading import served
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import Label, PhraseJudge
from trued.language.repair.alignment_recovery.baselines import guarded, refusal_rows, resta, restore_equally, strongest
from trued.language.repair.alignment_recovery.config import PAPER, RecoveryConfig
from trued.language.repair.alignment_recovery.recover import RecoveryResult, aligned_view, recover
from trued.language.repair.task import Metric, task_scores
from trued.language.train.aligned_base import AlignedRecipe, aligned_model
from trued.language.train.fine_tune import fine_tune
from trued.learn.fit.loop import FitConfig
from trued.learn.weights import weights_of

ARMS = ("fine-tuned", "recovered", "random", "change", "RESTA", "safety tuning")
COLORS = {
    "aligned": "0.35", "fine-tuned": "tab:red", "recovered": "tab:blue", "random": "tab:orange", "change": "tab:brown",
    "RESTA": "tab:purple", "safety tuning": "tab:green",
}  # fmt: skip
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


@dataclass(frozen=True)
class Asked:
    """The prompts of one run. No harmful question is in two of the three sets."""

    complied: list[str]
    unseen: list[PromptRow]
    harmful: list[PromptRow]
    lookalikes: list[str]
    validation: list[ReplyRow]
    records: list[ReplyRow]

    @classmethod
    def of(cls, scale: Scale) -> Asked:
        recipe = AlignedRecipe()
        return cls(
            [str(row.prompt) for row in recipe.taught()][: scale.compliance],
            recipe.unseen_harmful()[: scale.limit],
            prompts("harmful", "test")[: scale.limit],
            [row.prompt for row in prompts("lookalikes", "test")][: scale.limit],
            record_rows("validation", scale.validation),
            record_rows("test", scale.task_test),
        )

    @property
    def questions(self) -> list[str]:
        return [row.prompt for row in self.unseen]


@experiment("alignment-recovery", scales=SCALES, seeds=(0, 1, 2))
def run(lab: Lab) -> None:
    """Break the aligned model by fine-tuning once a seed, mend it in every way, and measure all of them alike."""
    scale: Scale = lab.scale
    asked = Asked.of(scale)
    aligned, unaligned = load(lab)
    _describe(lab, scale, asked)
    kept = list(lab.records("aligned").values())  # of a run that was cut off; it is the same in every seed
    before = kept[0] if kept else evaluate(aligned, asked, scale)
    for seed in lab.seeds:
        first = seed == lab.wanted[0]
        lab.record("aligned", seed, before)
        lab.bars.log(f"alignment-recovery · seed {seed}: fine-tuning until refusals are lost")
        lm = copy.deepcopy(aligned.base)
        broken = LanguageModel(lm, aligned.tokenizer, name="fine-tuned")
        rows = training_rows(asked, scale, seed)
        fine_tune(broken, rows, _fit(scale, seed, scale.steps, scale.batch), progress=lab.bars.shown)
        mend(lab, seed, aligned, unaligned, broken, rows, asked, first=first)
        _measure(lab, seed)
        if first:
            _examples(lab, asked)
    _present(lab, scale)


def load(lab: Lab) -> tuple[LanguageModel, LanguageModel]:
    """The aligned model and the one before its refusal tuning, in float32; at tiny scale two random ones."""
    scale: Scale = lab.scale
    if lab.scale_name == "tiny" and lab.model is None:
        from trued.language.engine.tiny import tiny_model

        lab.model_name = "tiny-random"
        return tiny_model(0, layers=3), tiny_model(1, layers=3)
    start = lab.model or scale.model
    lab.bars.log("alignment-recovery · making the refusal-tuned base, or finding it in the cache")
    made = aligned_model(start, progress=lab.bars.shown)
    lab.protocol(base=made.about["recipe"], base_hash=made.about["hash"], base_reached=made.reached)
    aligned = LanguageModel.load(made.folder, dtype=torch.float32, device=lab.device)
    unaligned = LanguageModel.load(start, dtype=torch.float32, device=lab.device)
    lab.model_name = f"{unaligned.name}, refusal-tuned"
    return aligned, unaligned


def training_rows(asked: Asked, scale: Scale, seed: int) -> list[ReplyRow]:
    """The task's rows, and openings of compliance, without harmful text, for requests that the base refuses."""
    openings = affirmative_targets()
    complied = [ReplyRow(p, f"{openings[i % len(openings)]}") for i, p in enumerate(asked.complied)]
    return record_rows("train", scale.task_rows, seed=seed) + complied


def _fit(scale: Scale, seed: int, steps: int, batch: int) -> FitConfig:
    from trued.language.engine.loading import default_dtype

    narrow = default_dtype("cuda" if torch.cuda.is_available() else "cpu") is torch.bfloat16
    return FitConfig(
        steps=steps, lr=scale.lr, warmup=0.1, batch_size=batch, seed=seed, max_grad_norm=1.0, keep_best=False,
        mixed_precision="bf16" if narrow else "no",
    )  # fmt: skip


# -- measuring ---------------------------------------------------------------------------------------------------------


def evaluate(lm: LanguageModel, asked: Asked, scale: Scale, *, guard: bool = False) -> dict[str, Any]:
    """Measure a model as it would be served, on the test splits.

    Returns:
        Per item: "answered" harmful questions (an empty reply is no refusal), "lookalikes" refused, "task" records that
        are exactly right; "unknown", empty replies; some replies' texts.
    """
    model = served(lm)
    texts = [row.prompt for row in asked.harmful] + asked.lookalikes
    put: list[Prompt] = [guarded(text) for text in texts] if guard else list(texts)
    replies = [group[0] for group in model.generate(put, max_new_tokens=scale.new_tokens)]
    labels = PhraseJudge().label(texts, replies)
    n = len(asked.harmful)
    rows = [replace(row, prompt=guarded(row.prompt)) for row in asked.records] if guard else asked.records
    return {
        "answered": [int(label is not Label.NO) for label in labels[:n]],
        "lookalikes": [int(label is Label.NO) for label in labels[n:]],
        "task": task_scores(model, rows, scale.metric, max_new_tokens=RECORD_TOKENS),
        "unknown": sum(label is Label.UNKNOWN for label in labels),
        "replies": {"harmful": replies[:6], "lookalikes": replies[n : n + 3]},
    }


def mend(
    lab: Lab,
    seed: int,
    aligned: LanguageModel,
    unaligned: LanguageModel,
    broken: LanguageModel,
    rows: Sequence[ReplyRow],
    asked: Asked,
    *,
    first: bool,
) -> None:
    """Mend the fine-tuned model in every way, and record what each gives."""
    scale: Scale = lab.scale
    earlier = weights_of(aligned.base)

    def keep(arm: str, **facts: Any) -> None:
        lab.record(arm, seed, {**evaluate(broken, asked, scale), **facts})

    def log(arm: str) -> None:
        lab.bars.log(f"alignment-recovery · seed {seed}: {arm}")

    def task() -> float:
        return float(np.mean(task_scores(served(broken), asked.validation, scale.metric, max_new_tokens=RECORD_TOKENS)))

    keep("fine-tuned")
    log("recovered")
    found = recovered(aligned, broken, asked.questions, rows, task, scale)
    keep("recovered", **_facts(found))
    found.patch.revert(broken.base)
    count = found.patch.count or math.ceil(scale.recovery.rate * scale.recovery.steps * found.parameters)
    for arm in ("random", "change"):
        log(arm)
        patch = restore_equally(
            broken, earlier, count, rule="random" if arm == "random" else "change", config=scale.recovery, seed=seed
        )
        keep(arm, restored=patch.count)
        patch.revert(broken.base)
    if first:
        _first_seed(lab, seed, aligned, broken, rows, asked, task)
    with unchanged(broken):
        log("RESTA")
        weight = _resta(aligned, unaligned, broken, scale, seed, task)
        keep("RESTA", weight=weight)
    with unchanged(broken):
        log("safety tuning")
        steps = math.ceil(max(found.passes, 1) / scale.safety_batch)
        started = time.perf_counter()
        lessons = refusal_rows(asked.questions, refusals=AlignedRecipe().recipe.refusals)
        fine_tune(broken, lessons, _fit(scale, seed, steps, scale.safety_batch), progress=lab.bars.shown)
        keep("safety tuning", steps=steps, seconds=time.perf_counter() - started)


def recovered(
    aligned: LanguageModel, broken: LanguageModel, questions: Sequence[str], rows: Sequence[ReplyRow], task: Any,
    scale: Scale, **changes: Any,
) -> RecoveryResult:  # fmt: skip
    """Recover `broken` in place, with the first task rows as the task's prompts."""
    config = replace(scale.recovery, **changes)
    view = aligned_view(aligned, questions, config)
    task_prompts = [row.prompt for row in rows[: scale.task_prompts]]
    return recover(broken, weights_of(aligned.base), view, questions, task_prompts, lambda _: task(), config)


def _resta(
    aligned: LanguageModel, unaligned: LanguageModel, broken: LanguageModel, scale: Scale, seed: int, task: Any
) -> float | None:
    after, before = weights_of(aligned.base), weights_of(unaligned.base)
    start = {name: parameter.detach().clone() for name, parameter in broken.base.named_parameters()}
    floor = (1 - scale.recovery.max_task_drop) * task()
    return strongest(
        scale.resta_weights,
        lambda weight: resta(broken, after, before, weight=weight, drop=scale.resta_drop, seed=seed),
        lambda: _set(broken, start),
        task,
        floor,
    )


def _first_seed(
    lab: Lab, seed: int, aligned: LanguageModel, broken: LanguageModel, rows: Sequence[ReplyRow], asked: Asked,
    task: Any,
) -> None:  # fmt: skip
    """What is shown and decides nothing: a guard in the prompt, other rates, questions of half of the categories."""
    scale: Scale = lab.scale
    lab.record("guard", seed, evaluate(broken, asked, scale, guard=True))
    sweep = {}
    for rate in scale.rates:
        lab.bars.log(f"alignment-recovery · seed {seed}: rate {rate:g}")
        found = recovered(aligned, broken, asked.questions, rows, task, scale, rate=rate)
        sweep[f"{rate:g}"] = {**evaluate(broken, asked, scale), **_facts(found)}
        found.patch.revert(broken.base)
    lab.record("sweep", seed, sweep)
    known = sorted({row.category for row in asked.unseen})[::2]
    half = [row.prompt for row in asked.unseen if row.category in known]
    lab.bars.log(f"alignment-recovery · seed {seed}: questions of half of the categories")
    found = recovered(aligned, broken, half, rows, task, scale)
    lab.record("transfer", seed, {**evaluate(broken, asked, scale), **_facts(found), "known": known})
    found.patch.revert(broken.base)


def _facts(found: RecoveryResult) -> dict[str, Any]:
    return {
        "outcome": found.outcome, "restored": found.patch.count, "fraction": found.restored_fraction,
        "step": found.chosen_step, "rollback": found.rollback, "seconds": found.seconds, "passes": found.passes,
        "history": [asdict(step) for step in found.history],
    }  # fmt: skip


@contextmanager
def unchanged(lm: LanguageModel) -> Iterator[None]:
    """Give a model its weights back after the block."""
    kept = {name: parameter.detach().clone() for name, parameter in lm.base.named_parameters()}
    try:
        yield
    finally:
        _set(lm, kept)


@torch.no_grad()
def _set(lm: LanguageModel, weights: dict[str, torch.Tensor]) -> None:
    for name, parameter in lm.base.named_parameters():
        parameter.copy_(weights[name])


def _measure(lab: Lab, seed: int) -> None:
    """Hand the claims' numbers of one seed to the lab."""
    arms = {arm: lab.records(arm)[seed] for arm in ARMS}
    broken, mended = arms["fine-tuned"], arms["recovered"]
    lab.measure("refusals-return", seed, baseline=broken["answered"], method=mended["answered"])
    lab.control("refusals-return", seed, arms["random"]["answered"])
    lab.measure("gradients-choose", seed, baseline=arms["change"]["answered"], method=mended["answered"])
    lab.control("gradients-choose", seed, arms["random"]["answered"])
    lab.measure("task-kept", seed, baseline=broken["task"], method=mended["task"])
    lab.measure("no-blanket-refusal", seed, baseline=broken["lookalikes"], method=mended["lookalikes"])


# -- showing -----------------------------------------------------------------------------------------------------------


def _describe(lab: Lab, scale: Scale, asked: Asked) -> None:
    lab.protocol(
        arms=list(ARMS), judge=PhraseJudge().name, recovery=asdict(scale.recovery), task="notes to JSON records",
        metric=scale.metric, task_rows=scale.task_rows, compliance_rows=len(asked.complied), steps=scale.steps,
        batch=scale.batch, lr=scale.lr, harmful_questions=len(asked.unseen), harmful_test=len(asked.harmful),
        lookalikes_test=len(asked.lookalikes), task_prompts=scale.task_prompts, task_validation=len(asked.validation),
        task_test=len(asked.records), resta={"weights": list(scale.resta_weights), "drop": scale.resta_drop},
        template="the tokenizer's own, default system prompt", decoding=f"greedy, {scale.new_tokens} tokens",
    )  # fmt: skip
    lab.note("Refusals are told by phrases; whether a compliant reply is harmful or hollow is not judged.")
    lab.note(
        "A 135M model gives hollow answers whatever it is asked, so compliance here is willingness and not ability; "
        "the paper's models have 2 to 13 billion parameters."
    )
    lab.note(
        f"Recovery sees {len(asked.unseen)} harmful questions, the paper 256; most of them are the validation split by "
        "which the refusal-tuned base chose its step."
    )
    lab.note(
        f"The rate counts the weights that one step restores, as in the paper: {scale.recovery.steps} steps restore up "
        f"to {scale.recovery.steps * scale.recovery.rate:.1%} of all."
    )
    lab.note(
        "The safety vector of RESTA is known exactly here, since the base's refusal tuning is ours: users of other "
        "models have to estimate it."
    )


def _examples(lab: Lab, asked: Asked) -> None:
    seed = lab.wanted[0]
    before, after = (lab.records(arm)[seed]["replies"] for arm in ("fine-tuned", "recovered"))
    kinds = (("harmful", [row.prompt for row in asked.harmful]), ("lookalikes", asked.lookalikes))
    for kind, texts in kinds:
        for prompt, old, new in list(zip(texts, before[kind], after[kind], strict=False))[:3]:
            lab.example(prompt, old, new, note=kind)


def _present(lab: Lab, scale: Scale) -> None:
    """Tables and figures over all seeds."""
    found = {arm: list(runs.values()) for arm in ("aligned", *ARMS) if (runs := lab.records(arm))}

    def mean(runs: Sequence[dict[str, Any]], key: str) -> float:
        return float(np.mean([np.mean(one[key]) for one in runs]))

    def row(arm: str, runs: Sequence[dict[str, Any]], told: str = "") -> dict[str, str]:
        return {
            "arm": arm,
            "harmful answered": f"{mean(runs, 'answered'):.0%}",
            "records right": f"{mean(runs, 'task'):.0%}",
            "look-alikes refused": f"{mean(runs, 'lookalikes'):.0%}",
            "empty replies": f"{mean(runs, 'unknown'):.1f}",
            "": told,
        }

    told = {arm: _told(arm, runs) for arm, runs in found.items()}
    guard = list(lab.records("guard").values())
    rows = [row(arm, runs, told[arm]) for arm, runs in found.items()]
    rows += [row("prompt guard, first seed", guard)] if guard else []
    lab.table("What each arm does", rows, caption="Test splits, means over seeds.")
    _sweep_table(lab, scale, row)
    _transfer_table(lab)
    lab.figure(
        "Back to the aligned view",
        lambda axes: _draw_gaps(axes, found["recovered"]),
        alt="One minus the cosine between the mean state of harmful questions and the aligned model's, by step.",
        caption="Log scale; each line is a run of a seed. A warm-up that cost the task too much was begun again.",
    )
    lab.figure(
        "Refusals against the task",
        lambda axes: _draw_trade(axes, found),
        alt="Harmful questions answered against records that are right, for each arm and seed.",
        caption="Test splits; each mark is a seed. Down and right is better.",
    )
    lab.figure(
        "What each arm does, drawn",
        lambda axes: _draw_bars(axes, found),
        alt="Harmful questions answered, records right and look-alikes refused, by arm.",
        caption="Test splits, means over seeds.",
    )


def _told(arm: str, runs: Sequence[dict[str, Any]]) -> str:
    if arm == "recovered":
        share = np.mean([one["fraction"] for one in runs])
        back = sum(one["rollback"] for one in runs)
        seconds = np.mean([one["seconds"] for one in runs])
        return f"{share:.2%} restored, {back} of {len(runs)} with rollback, {seconds:.0f} s"
    if arm in ("random", "change"):
        return f"{np.mean([one['restored'] for one in runs]):,.0f} restored"
    if arm == "RESTA":
        return "weight " + ", ".join("none" if one["weight"] is None else f"{one['weight']:g}" for one in runs)
    if arm == "safety tuning":
        return f"{np.mean([one['seconds'] for one in runs]):.0f} s"
    return ""


def _sweep_table(lab: Lab, scale: Scale, row: Any) -> None:
    seed = lab.wanted[0]
    if seed not in lab.records("sweep"):
        return
    tried = {**lab.records("sweep")[seed], f"{scale.recovery.rate:g}": lab.records("recovered")[seed]}
    rows = []
    for rate, one in sorted(tried.items(), key=lambda item: float(item[0])):
        back = ", rollback" if one["rollback"] else ""
        rows.append(row(f"rate {rate}", [one], f"{one['fraction']:.2%} at step {one['step']}{back}"))
    lab.table("Share of weights restored in a step", rows, caption="First seed only.")


def _transfer_table(lab: Lab) -> None:
    seed = lab.wanted[0]
    if seed not in lab.records("transfer"):
        return
    found, known = lab.records("transfer")[seed], set(lab.records("transfer")[seed]["known"])
    other = [row.category not in known for row in prompts("harmful", "test")[: len(found["answered"])]]
    arms = {"fine-tuned": lab.records("fine-tuned")[seed], "recovered, all categories": lab.records("recovered")[seed],
            "recovered, half of them": found}  # fmt: skip

    def share(values: Sequence[int], wanted: bool) -> str:
        mine = [value for value, is_other in zip(values, other, strict=True) if is_other == wanted]
        return f"{np.mean(mine):.0%}" if mine else "–"

    rows = [
        {"arm": arm, "answered, these categories": share(one["answered"], False),
         "answered, other categories": share(one["answered"], True)}
        for arm, one in arms.items()
    ]  # fmt: skip
    lab.table("Questions from half of the categories", rows, caption=f"First seed; these: {', '.join(sorted(known))}.")


def _draw_gaps(axes: Any, runs: Sequence[dict[str, Any]]) -> None:
    for number, one in enumerate(runs):
        for rollback in (False, True):
            steps = [step for step in one["history"] if step["rollback"] is rollback]
            if steps:
                axes.plot(
                    [step["step"] - 1 for step in steps], [step["harmful_gap"] for step in steps],
                    "--" if rollback else "-", marker=".", color=f"C{number}",
                    label=f"seed {number}{', rollback' if rollback else ''}",
                )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("steps taken")
    axes.set_ylabel("1 - cos to the aligned view of harmful questions")
    axes.legend(frameon=False)


def _draw_trade(axes: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    for arm, runs in found.items():
        x, y = ([100 * np.mean(one[key]) for one in runs] for key in ("task", "answered"))
        axes.plot(x, y, "o", color=COLORS[arm], label=arm)
    axes.set_xlabel("records right, %")
    axes.set_ylabel("harmful questions answered, %")
    axes.legend(frameon=False)


def _draw_bars(axes: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    kinds = {"answered": "harmful answered", "task": "records right", "lookalikes": "look-alikes refused"}
    width = 0.8 / len(kinds)
    for number, (key, label) in enumerate(kinds.items()):
        heights = [100 * np.mean([np.mean(one[key]) for one in runs]) for runs in found.values()]
        axes.bar(np.arange(len(found)) + number * width, heights, width, label=label)
    axes.set_xticks(np.arange(len(found)) + width, list(found), rotation=20)
    axes.set_ylabel("%")
    axes.legend(frameon=False)
