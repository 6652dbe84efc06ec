"""One training loop, for every method that learns by gradient descent.

Knows a module, a function that gives its loss, and rows. Knows nothing of what is learnt, or of language.

A step is a pure function of the weights, the optimiser's state and the step's number: its rows come from the seed and
the epoch, its random numbers (dropout) from the seed and the step. So a run that was cut off continues to the same
weights, bit for bit on a CPU, and neither validation nor the caller's own random numbers change what is learnt. That
holds as long as the loss draws from PyTorch's default generator: one that it keeps for itself is not set back.

What one step descends is the mean over everything in its batches. If each loss is a mean over `weight` units, the
gradient is sum(weight * gradient) / sum(weight) over the accumulated batches of all processes: the gradient that one
large batch would have. A unit is a row, unless the loss says otherwise: a loss normalised by tokens returns the number
of tokens it is the mean over as "weight".

Under `accelerate launch` every process computes its own batches, and gradients are summed before the step. The model
is not wrapped, so a loss may call any part of it. Each process holds the whole model: sharding (FSDP, DeepSpeed) is
refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from trued.errors import InputError
from trued.learn.fit.batches import Batches, derived_seed
from trued.learn.fit.config import FitConfig, learning_rate
from trued.learn.fit.gradient import Piece, mean_gradient
from trued.learn.fit.interrupt import Interrupted, unbroken
from trued.learn.fit.machine import accelerator_for, lent, peak_memory, place, seed_everything, tracked
from trued.learn.fit.progress import step_bar
from trued.learn.fit.run import Run, digest

__all__ = ["FitConfig", "FitResult", "Interrupted", "StepLog", "TrainingDiverged", "fit"]

T = TypeVar("T")
B = TypeVar("B")


class TrainingDiverged(InputError):  # noqa: N818 - a state, as KeyboardInterrupt is
    """The loss, the gradient or a validation is no number any more; training stopped before the weights took it in."""


@dataclass(frozen=True)
class StepLog:
    """What one optimiser step did.

    Args:
        step: its number, from 1.
        steps: how many the run has.
        values: "loss" and the other scalars that the loss returned, averaged as the gradient is.
        lr: the learning rate it used.
        grad_norm: L2 norm of the gradient before clipping.
        tokens: how many tokens it saw; 0 where nobody counts them.
        seconds: how long it took.
    """

    step: int
    steps: int
    values: Mapping[str, float]
    lr: float
    grad_norm: float
    tokens: int
    seconds: float

    def flat(self) -> dict[str, float]:
        """Return one record of plain numbers, as the history keeps it."""
        rest = {"lr": self.lr, "grad_norm": self.grad_norm, "tokens": self.tokens, "seconds": self.seconds}
        return {"step": self.step, **self.values, **rest}


@dataclass(frozen=True)
class FitResult:
    """What a run did, the parts before an interruption included.

    Args:
        steps: completed optimiser steps.
        history: one flat record per step (step, loss, other scalars, lr, grad_norm, tokens, seconds) and, on the
            steps that were validated, "validation".
        best_step: the step of the best validation; None without validation.
        best_value: its value.
        stopped_early: whether patience ran out.
        seconds: time in steps, validations not included.
        peak_memory_bytes: most memory of the GPU that this run allocated; on a CPU, most that the process ever used.
    """

    steps: int
    history: list[dict[str, float]]
    best_step: int | None
    best_value: float | None
    stopped_early: bool
    seconds: float
    peak_memory_bytes: int


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, B], Mapping[str, Any]],
    dataset: Sequence[T],
    config: FitConfig,
    *,
    collate: Callable[[list[T]], B],
    lengths: Sequence[int] | None = None,
    output: Path | None = None,
    resume: bool = False,
    validate: Callable[[int], float] | None = None,
    report: Callable[[StepLog], None] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train the parameters of `model` that require a gradient, in place, with AdamW.

    The model stays on its device (under `accelerate launch`, each process takes its own). While it trains it is in
    training mode, while it is validated in evaluation mode; afterwards every module has the mode it came with, and
    PyTorch's random numbers continue as if nothing had happened.

    Args:
        model: any module; parameters in float32 or float64 are trained, frozen ones may have any type.
        loss: takes the model and a batch; returns "loss" (a scalar with a gradient) and any scalars to log. Two names
            are special: "weight", the number of units the loss is the mean over (rows of the batch by default), and
            "tokens", the number of tokens to count (by default `batch.tokens`, else the sum of `lengths`).
        dataset: the rows.
        config: the settings.
        collate: makes a batch of rows; tensors in it (nested, or behind a method `to`) are moved to the device.
        lengths: tokens of each row; needed with `config.max_tokens`.
        output: folder for `checkpoint/` and, with trackers, `trackers/`; None writes nothing.
        resume: continue from `output/checkpoint` if there is one, and start afresh if there is none.
        validate: takes the number of completed steps and returns a value, higher is better; it is called every
            `config.validate_every` steps and at the end, in every process (values are averaged).
        report: called after each step.
        progress: show a bar on standard error, if that is a terminal.

    Returns:
        What happened; the weights are the best validated ones with `config.keep_best`, else the last ones.

    Raises:
        InputError: settings, data or loss are unfit, the checkpoint is damaged or belongs to another run, or the disk
            is full.
        TrainingDiverged: a loss, gradient norm or validation is not finite; earlier checkpoints are kept.
        Interrupted: Ctrl-C; the last completed step is in `output/checkpoint`.
    """
    loop = _Loop(model, loss, dataset, config, collate, lengths, output, validate)
    run, accelerator = loop.run, loop.accelerator
    if resume:
        run.load()
    shown = progress and accelerator.is_main_process
    with (
        lent(model, loop.device),
        tracked(accelerator, config.trackers, asdict(config)),
        step_bar(loop.steps, done=run.state.step, shown=shown) as show,
    ):
        try:
            while loop.settle():
                log = loop.advance()
                show(log.step, log.values["loss"], log.tokens, log.seconds)
                if report is not None:
                    report(log)
        except KeyboardInterrupt as stop:
            raise loop.interrupted() from stop
        finally:
            run.optimizer.zero_grad(set_to_none=True)
    return loop.result()


class _Loop:
    """Advances a `Run` step by step, and settles what is due after each."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[nn.Module, Any], Mapping[str, Any]],
        dataset: Sequence[Any],
        config: FitConfig,
        collate: Callable[[list[Any]], Any],
        lengths: Sequence[int] | None,
        output: Path | None,
        validate: Callable[[int], float] | None,
    ) -> None:
        if config.patience is not None and validate is None:
            raise InputError(f"patience is {config.patience}, but nothing is validated: pass validate, or no patience")
        self.model, self.loss, self.dataset, self.collate = model, loss, dataset, collate
        self.config, self.lengths, self.validate = config, lengths, validate
        self.batches = Batches(len(dataset), config.batch_size, config.max_tokens, lengths, config.seed)
        self.accelerator = accelerator_for(config.trackers, output)
        processes = self.accelerator.num_processes
        data = {"rows": len(dataset), "lengths": lengths and digest(list(lengths)), "processes": processes}
        self.run = Run(model, config, output=output, data=data)
        self.device = place(model, self.run.params, self.accelerator)
        self.per_step = config.accumulation * processes
        self.steps = config.steps or math.ceil((config.epochs or 0) * len(self.batches) / self.per_step)

    def settle(self) -> bool:
        """Validate and write a checkpoint where the completed step asks for it; return whether to go on.

        A run that was cut off within this is settled again when it is resumed.
        """
        config, step = self.config, self.run.state.step
        last = step == self.steps
        if self.validate is not None and (last or _due(step, config.validate_every)):
            self._validate(self.validate)
        stop = last or (config.patience is not None and self.run.state.stale >= config.patience)
        if stop or _due(step, config.checkpoint_every):
            self.save()
        return not stop

    def advance(self) -> StepLog:
        """Take one optimiser step; on any error the weights stay those of the last completed step."""
        start, config, run, state = time.perf_counter(), self.config, self.run, self.run.state
        self.model.train()
        run.optimizer.zero_grad(set_to_none=True)
        seed_everything(self.device, derived_seed("step", config.seed, state.step, self.accelerator.process_index))
        values, tokens = mean_gradient(
            self.model,
            self.loss,
            self._pieces(),
            run.params,
            pieces_of_all=self.per_step,
            accelerator=self.accelerator,
            device=self.device,
            bf16=config.mixed_precision == "bf16",
        )
        self._finite(values["loss"], "the loss", state.step + 1)
        norm = self.accelerator.clip_grad_norm_(run.params.values(), config.max_grad_norm or math.inf)
        grad_norm = float(norm)  # type: ignore[arg-type]
        self._finite(grad_norm, "the gradient's norm", state.step + 1)
        lr = learning_rate(config, state.step, self.steps)
        for group in run.optimizer.param_groups:
            group["lr"] = lr
        with unbroken():
            run.optimizer.step()
            state.step += 1
            log = StepLog(state.step, self.steps, values, lr, grad_norm, tokens, time.perf_counter() - start)
            state.seconds += log.seconds
            state.history.append(log.flat())
        if config.trackers:
            self.accelerator.log({k: v for k, v in log.flat().items() if k != "step"}, step=log.step)
        return log

    def save(self) -> None:
        """Write the checkpoint of the last completed step, in one process for all."""
        if self.accelerator.is_main_process:
            self.run.save()

    def interrupted(self) -> Interrupted:
        """Write the last completed step, and return what to raise."""
        self.save()
        folder = self.run.folder
        return Interrupted(
            self.run.state.step, self.steps, folder if self.run.saved else None, resumable=folder is not None
        )

    def result(self) -> FitResult:
        """Leave the best weights in the model, and say what happened."""
        state = self.run.state
        self.run.restore_best()
        return FitResult(
            steps=state.step,
            history=state.history,
            best_step=state.best_step,
            best_value=state.best_value,
            stopped_early=state.step < self.steps,
            seconds=state.seconds,
            peak_memory_bytes=peak_memory(self.device),
        )

    def _pieces(self) -> Iterator[Piece]:
        """Make the step's batches of this process, one at a time; processes take turns in the plan."""
        first = self.run.state.step * self.per_step + self.accelerator.process_index
        for k in range(self.config.accumulation):
            rows = self.batches[first + k * self.accelerator.num_processes]
            tokens = None if self.lengths is None else sum(self.lengths[row] for row in rows)
            yield Piece(self.collate([self.dataset[row] for row in rows]), len(rows), tokens)

    def _validate(self, validate: Callable[[int], float]) -> None:
        state = self.run.state
        if state.validated == state.step:
            return
        self.model.eval()
        value = float(validate(state.step))
        if self.accelerator.num_processes > 1:
            mean = self.accelerator.reduce(torch.tensor(value, device=self.device), "mean")
            value = float(mean)  # type: ignore[arg-type]
        self._finite(value, "the validation", state.step)
        with unbroken():
            state.validated = state.step
            state.history[-1]["validation"] = value
            state.stale += 1
            if state.best_value is None or value > state.best_value:
                state.best_step, state.best_value, state.stale = state.step, value, 0
                if self.config.keep_best:
                    self.run.keep_best()
        if self.config.trackers:
            self.accelerator.log({"validation": value}, step=state.step)

    def _finite(self, value: float, what: str, step: int) -> None:
        if math.isfinite(value):
            return
        saved = "nothing was written"
        if self.run.saved is not None:
            saved = f"the last good checkpoint, of step {self.run.saved[0]}, is {self.run.folder}"
        raise TrainingDiverged(
            f"{what} is {value} at step {step} of {self.steps} ({saved}): train again with a lower lr "
            f"(it is {self.config.lr:g}) or max_grad_norm, and look at the rows of this step"
        )


def _due(step: int, every: int | None) -> bool:
    return every is not None and step > 0 and step % every == 0
