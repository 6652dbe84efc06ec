"""Alignment recovery: put a few weights of a fine-tuned model back, so that it refuses again (arXiv 2504.09757).

A model that was aligned, theta_a, became theta_t by fine-tuning. With r(theta, x) the hidden state after the first
l = floor(4L/6) layers at the last token of the prompt x,

    d_H = mean over harmful questions of r(theta_a, x)      how the aligned model sees what it must refuse
    d_B = mean over task prompts of r(theta_t, x)           how the fine-tuned model sees its task

A recovery step takes g, the gradient of ``sum over batches of -cos(mean r(theta, x), d_H)``, and copies theta_a back
where it is largest among the weights that the copy moves down the gradient. A rollback step, where the task suffers,
takes the gradient of ``-cos(mean r(theta, x), d_B)`` and undoes a fifth of the copies that its descent asks to undo.

Knows two sets of weights, prompts and a score of the task. Knows nothing of refusals' words, files or the terminal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.repair.alignment_recovery.config import PAPER, RecoveryConfig
from trued.language.repair.alignment_recovery.representation import (
    all_states,
    direction,
    one_minus_cosine,
    repairable,
    states,
)
from trued.language.repair.alignment_recovery.restored import Restored
from trued.language.repair.alignment_recovery.selection import Indices, choose, scores
from trued.learn.radix import TopK, kth_largest
from trued.learn.weights import Patch, Weights, tensor_like

Outcome = Literal["recovered", "nothing to recover", "no checkpoint kept the task"]


@dataclass(frozen=True)
class RecoveryStep:
    """One step; gaps are 1 - cos as its gradients saw them, so they cost no pass of their own.

    Args:
        step: its number, from 1.
        rollback: whether this run rolls back.
        harmful_gap: between the mean state of harmful questions and d_H, before the step.
        task_gap: between the mean state of task prompts and d_B, after copying and before undoing.
        restored: weights that have the aligned model's value after the step.
        undone: copies that the rollback undid.
        task: the task's score after the step, at checkpoints.
    """

    step: int
    rollback: bool
    harmful_gap: float
    task_gap: float | None
    restored: int
    undone: int
    task: float | None


@dataclass(frozen=True)
class RecoveryResult:
    """What a recovery did; the model it was given has the chosen weights.

    Args:
        outcome: what came of it.
        patch: the change from the fine-tuned model; empty if nothing is changed.
        chosen_step: the checkpoint that was chosen; 0 is the fine-tuned model.
        rollback: whether the chosen run rolled back.
        history: every step, those of a warm-up that was discarded included.
        parameters: the number of the model's weights.
        passes: prompts that went forward and backward.
        seconds: wall-clock time.
    """

    outcome: Outcome
    patch: Patch
    chosen_step: int
    rollback: bool
    history: tuple[RecoveryStep, ...]
    parameters: int
    passes: int
    seconds: float

    @property
    def restored_fraction(self) -> float:
        """The share of all weights that was restored."""
        return self.patch.count / self.parameters

    def to_json(self) -> dict[str, Any]:
        """Return plain data: what was decided, what it cost, and every step; of the patch its size alone."""
        return {
            "outcome": self.outcome,
            "restored": self.patch.count,
            "restored_fraction": self.restored_fraction,
            "parameters": self.parameters,
            "chosen_step": self.chosen_step,
            "rollback": self.rollback,
            "passes": self.passes,
            "seconds": self.seconds,
            "history": [asdict(step) for step in self.history],
        }


def recover(
    lm: LanguageModel,
    aligned: Weights,
    aligned_states: Float[Tensor, "harmful dim"],
    harmful: Sequence[Prompt],
    task_prompts: Sequence[Prompt],
    task_score: Callable[[LanguageModel], float],
    config: RecoveryConfig = PAPER,
    *,
    answered: Callable[[LanguageModel], float] | None = None,
    looked: Callable[[RecoveryStep], None] | None = None,
) -> RecoveryResult:
    """Restore alignment in `lm`, in place (2504.09757, the whole procedure).

    Five steps without rollback come first. If the task then scores below ``(1 - max_task_drop)`` of what it did, the
    run starts again with a rollback in every step. The last checkpoint before the first that costs the task too much is
    chosen; if the very first one does, the fine-tuned model stays, and the outcome says so.

    Beside the model's float32 weights memory holds one gradient, of two thirds of them, and the changed values; the
    aligned weights can stay on disk (`WeightsFolder`).

    Args:
        lm: the fine-tuned model in float32, without an adapter.
        aligned: the aligned model's weights by name.
        aligned_states: what `aligned_view` gives for the harmful questions in the aligned model.
        harmful: questions without answers.
        task_prompts: of the fine-tuning task.
        task_score: scores the task, from 0 up, the higher the better.
        answered: the share of harmful questions that the model answers; at 0 nothing is changed.
        looked: called after each step.

    Raises:
        InputError: no prompts, models that do not fit, equal weights, or a score that no drop could be seen in.
    """
    started = time.perf_counter()
    run = _Recovery(lm, aligned, aligned_states, harmful, task_prompts, config, looked)
    count = sum(p.numel() for p in lm.base.parameters())
    if answered is not None and answered(lm) == 0:
        empty = run.restored.patch(lm.base)
        return RecoveryResult("nothing to recover", empty, 0, False, (), count, 0, time.perf_counter() - started)
    before = _score(task_score, lm)
    if before <= 0:
        raise InputError(
            f"the fine-tuned model scores {before:g} on its task, so no drop could be seen: check the task's rows and "
            "its metric. Nothing was changed"
        )
    with run.open():
        step, rollback = run.drive(lambda: _score(task_score, lm), (1 - config.max_task_drop) * before)
    outcome: Outcome = "recovered" if step else "no checkpoint kept the task"
    patch = run.restored.patch(lm.base, f"alignment recovery, step {step}")
    seconds = time.perf_counter() - started
    return RecoveryResult(outcome, patch, step, rollback, tuple(run.history), count, run.passes, seconds)


def aligned_view(
    lm: LanguageModel, harmful: Sequence[Prompt], config: RecoveryConfig = PAPER
) -> Float[Tensor, "harmful dim"]:
    """How the aligned model represents the harmful questions: what `recover` is given of it besides its weights.

    Raises:
        InputError: no questions.
    """
    if not harmful:
        raise InputError("there are no harmful questions: give some, without answers")
    return all_states(lm, [lm.prompt_ids(p) for p in harmful], depth=config.depth(lm), position=config.position)


def _score(task_score: Callable[[LanguageModel], float], lm: LanguageModel) -> float:
    value = float(task_score(lm))
    if not math.isfinite(value):
        raise InputError(f"the task's score is {value}: it must be a finite number, from 0 up, the higher the better")
    return value


class _Recovery:
    """One recovery: the model, what it is drawn to, and how far it has come."""

    def __init__(
        self,
        lm: LanguageModel,
        aligned: Weights,
        aligned_states: Tensor,
        harmful: Sequence[Prompt],
        task_prompts: Sequence[Prompt],
        config: RecoveryConfig,
        looked: Callable[[RecoveryStep], None] | None,
    ) -> None:
        if not harmful or not task_prompts:
            raise InputError(f"{len(harmful)} harmful questions and {len(task_prompts)} task prompts: both are needed")
        if len(aligned_states) != len(harmful):
            raise InputError(f"{len(aligned_states)} aligned states for {len(harmful)} harmful questions: one of each")
        if hasattr(lm.model, "peft_config"):
            raise InputError(f"{lm.name} has an adapter: merge it in float32 first, a sparse change is not low-rank")
        if lm.dtype != torch.float32:
            raise InputError(
                f"{lm.name} is in {lm.dtype}: load it in float32, gradients in fewer bits tie by thousands"
            )
        self.lm, self.config, self.looked = lm, config, looked
        self.parameters = repairable(lm, config.depth(lm))
        check_pair(self.parameters, aligned)
        self.aligned = aligned
        self.restored = Restored(self.parameters, aligned)
        self.harmful = [lm.prompt_ids(p) for p in harmful]
        self.task = [lm.prompt_ids(p) for p in task_prompts]
        self.k = math.ceil(config.rate * sum(p.numel() for p in lm.base.parameters()))
        self.history: list[RecoveryStep] = []
        self.passes = 0
        self._directions(aligned_states)

    def _directions(self, aligned_states: Tensor) -> None:
        """Set d_H and d_B, and what is taken off all states."""
        task = self._states(self.task)
        together = torch.cat([aligned_states, task])
        self.centre = together.mean(0) if self.config.centred else torch.zeros_like(task[0])
        if self.config.direction == "principal":
            self.toward_harmful = direction(aligned_states, self._states(self.harmful), "principal")
        else:
            self.toward_harmful = direction(aligned_states) - self.centre
        self.toward_task = direction(task) - self.centre

    def _states(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        return all_states(self.lm, prompts, depth=self.config.depth(self.lm), position=self.config.position)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let gradients reach the weights that may change, and no others, for a while."""
        flags = {parameter: parameter.requires_grad for parameter in self.lm.base.parameters()}
        may_change = set(map(id, self.parameters.values()))
        try:
            for parameter in flags:
                parameter.requires_grad_(id(parameter) in may_change)
            yield
        finally:
            self._forget()
            for parameter, flag in flags.items():
                parameter.requires_grad_(flag)

    def drive(self, score: Callable[[], float], floor: float) -> tuple[int, bool]:
        """Take the steps; returns the chosen one and whether its run rolled back."""
        config = self.config
        warmup = min(config.warmup, config.steps)
        for step in range(1, warmup + 1):
            self._advance(step, rollback=False, score=score if step == warmup else None)
        if self.history[-1].task is not None and self.history[-1].task < floor:
            self.restored.go_to({})
            self._forget()
            return self._run(0, score, floor, rollback=True), True
        return self._run(warmup, score, floor, rollback=False), False

    def _run(self, done: int, score: Callable[[], float], floor: float, *, rollback: bool) -> int:
        """Go on from step `done` to the end, or to the first checkpoint below `floor`; leave the last one above it."""
        best, checkpoint = done, self.restored.checkpoint()
        for step in range(done + 1, self.config.steps + 1):
            due = step % self.config.save_every == 0 or step == self.config.steps
            look = self._advance(step, rollback=rollback, score=score if due else None)
            if look.task is None:
                continue
            if look.task < floor:
                break
            best, checkpoint = step, self.restored.checkpoint()
        self._forget()
        self.restored.go_to(checkpoint)
        return best

    def _advance(self, step: int, *, rollback: bool, score: Callable[[], float] | None) -> RecoveryStep:
        """One recovery step, and a rollback step if `rollback`."""
        config = self.config
        if rollback or not config.accumulate:
            self._forget()
        harmful_gap = self._backward(self.harmful, self.toward_harmful)
        selection = choose(
            self.parameters,
            self.aligned,
            self.k,
            rule=config.rule,
            granularity=config.granularity,
            seed=config.seed + step,
            consume=rollback or not config.accumulate,
        )
        replaced = self.restored.add(selection)
        undone, task_gap = self._roll_back(selection, replaced) if rollback else (0, None)
        if rollback or not config.accumulate:
            self._forget()  # a score may need the memory
        task = None if score is None else score()
        look = RecoveryStep(step, rollback, harmful_gap, task_gap, self.restored.count, undone, task)
        self.history.append(look)
        if self.looked is not None:
            self.looked(look)
        return look

    def _roll_back(self, selection: Indices, replaced: Mapping[str, Tensor]) -> tuple[int, float]:
        """Undo the copies of this step that the task asks most to undo; returns how many, and the task's gap."""
        self._forget()
        gap = self._backward(self.task, self.toward_task)
        wishes = {}
        for name, indices in selection.items():
            parameter = self.parameters[name]
            assert parameter.grad is not None
            now, gradient = (values.view(-1)[indices] for values in (parameter.detach(), parameter.grad))
            wishes[name] = scores(now, replaced[name], gradient, "sign")
        candidates = sum(int((wish > 0).sum()) for wish in wishes.values())
        if not candidates:
            return 0, gap
        top = TopK(kth_largest(wishes.values, math.ceil(self.config.rollback_rate * candidates)))
        undone = {name: selection[name][top.indices(wish)] for name, wish in wishes.items()}
        self.restored.remove(undone)
        return sum(map(len, undone.values())), gap

    def _backward(self, prompts: Sequence[Sequence[int]], goal: Tensor) -> float:
        """Add the gradient of the sum over batches of -cos(mean state, goal); returns 1 - cos over all prompts."""
        total = torch.zeros_like(goal)
        for start in range(0, len(prompts), self.config.batch_size):
            batch = prompts[start : start + self.config.batch_size]
            hidden = states(self.lm, batch, depth=self.config.depth(self.lm), position=self.config.position)
            (-torch.cosine_similarity(hidden.mean(0) - self.centre, goal, dim=0)).backward()
            total += hidden.detach().sum(0)
        self.passes += len(prompts)
        return float(one_minus_cosine(total / len(prompts) - self.centre, goal))

    def _forget(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None


def check_pair(parameters: Mapping[str, Tensor], aligned: Weights) -> None:
    """Compare the weights that may change with the aligned model's.

    Raises:
        InputError: a weight that the aligned model lacks or has in another shape, or no difference at all.
    """
    differ = False
    for name, parameter in parameters.items():
        other = tensor_like(parameter, aligned, name)
        if other.shape != parameter.shape:
            raise InputError(
                f"'{name}' has shape {list(parameter.shape)} in the fine-tuned and {list(other.shape)} in the aligned "
                "model: both need one architecture of one size"
            )
        differ = differ or not torch.equal(other.to(parameter), parameter.detach())
    if not differ:
        raise InputError(
            "the two models have the same weights in all layers that may change, so there is nothing to restore: give "
            "the fine-tuned model and the aligned one that it was made from"
        )
