"""A training run between two whole steps: what is trained, how far it is, and its checkpoint.

Knows parameters, AdamW and the scalars of a run. Knows nothing of losses, batches or how a step is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trued.errors import InputError
from trued.files import CHECKPOINT, claim_output
from trued.learn.fit.checkpoint import read_checkpoint, write_checkpoint
from trued.learn.fit.config import FitConfig


@dataclass
class State:
    """The scalars of a run that its checkpoint holds.

    Args:
        step: completed optimiser steps.
        validated: the step of the last validation.
        stale: validations since the best one.
        best_step: the step of the best validation.
        best_value: its value.
        seconds: time spent in steps.
        history: one flat record per step.
    """

    step: int = 0
    validated: int = 0
    stale: int = 0
    best_step: int | None = None
    best_value: float | None = None
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Run:
    """The trainable parameters of a model, their optimiser and their best values so far.

    Args:
        model: the module to train.
        config: the settings.
        output: the folder that `checkpoint/` goes to; None keeps nothing.
        data: what identifies the data, as JSON values: a checkpoint of other data is refused.

    Raises:
        InputError: nothing is trainable, or in a type too coarse to train, or the folder cannot be made or written, or
            holds a checkpoint/ that is none.
    """

    def __init__(
        self, model: nn.Module, config: FitConfig, *, output: Path | None, data: Mapping[str, int | str | None]
    ) -> None:
        self.config = config
        self.params = _trainable(model)
        self.optimizer = _adamw(self.params, config)
        self.state = State()
        self.best: dict[str, Tensor] = {}
        self.saved: tuple[int, int] | None = None
        self.folder = None if output is None else claim_output(_made(output) / CHECKPOINT, kind=CHECKPOINT)
        self._data = dict(data)

    def keep_best(self) -> None:
        """Remember the weights as they are now."""
        self.best = {name: param.detach().to("cpu", copy=True) for name, param in self.params.items()}

    def restore_best(self) -> None:
        """Put the remembered weights back, if there are any."""
        if self.best and self.state.best_step != self.state.step:
            self._put(self.best)

    def save(self) -> None:
        """Write the checkpoint of the last completed step, unless it is there already.

        Raises:
            InputError: the disk is full, or the folder cannot be written; the checkpoint before it is kept.
        """
        at = (self.state.step, self.state.validated)
        if self.folder is None or self.saved == at or self.state.step == 0:
            return
        tensors: dict[str, Tensor] = {f"weight/{name}": param for name, param in self.params.items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for name, param in self.params.items():
            tensors |= {f"adamw.{key}/{name}": value for key, value in self.optimizer.state.get(param, {}).items()}
        write_checkpoint(self.folder, tensors, {"run": self._identity(), "state": asdict(self.state)})
        self.saved = at

    def load(self) -> None:
        """Take the run up where its checkpoint left it; without a checkpoint, leave it at the start.

        Raises:
            InputError: there is no output folder, or the checkpoint is damaged or another run's.
        """
        if self.folder is None:
            raise InputError("resume needs the output folder of the run to continue: pass output")
        if not self.folder.exists():
            return
        tensors, record = read_checkpoint(self.folder)
        self._same_run(record["run"])
        parts: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, name = key.split("/", 1)
            parts.setdefault(kind, {})[name] = tensor
        self._put(parts.pop("weight"))
        self.best = parts.pop("best", {})
        for kind, by_name in parts.items():
            key = kind.removeprefix("adamw.")
            for name, tensor in by_name.items():
                # AdamW counts its steps on the CPU, whatever the device of the weights.
                place = tensor if key == "step" else tensor.to(self.params[name].device)
                self.optimizer.state[self.params[name]][key] = place
        self.state = State(**record["state"])
        self.saved = (self.state.step, self.state.validated)

    def _put(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, param in self.params.items():
                param.copy_(weights[name])

    def _identity(self) -> dict[str, Any]:
        """Everything but code and frozen weights that decides the weights, as JSON gives it back."""
        free = {"trackers", "checkpoint_every"}
        settings = {key: value for key, value in asdict(self.config).items() if key not in free}
        shapes = [(name, list(param.shape), str(param.dtype)) for name, param in self.params.items()]
        return json.loads(json.dumps({**settings, **self._data, "trainable parameters": digest(shapes)}))

    def _same_run(self, theirs: Mapping[str, Any]) -> None:
        ours = self._identity()
        changes = ", ".join(
            f"{key} was {theirs.get(key)} and is now {ours.get(key)}"
            for key in sorted({*ours, *theirs})
            if ours.get(key) != theirs.get(key)
        )
        if changes:
            raise InputError(
                f"the checkpoint {self.folder} belongs to another run ({changes}): "
                "resume with the settings, data and model it was written with, or start again without resume"
            )


def digest(value: object) -> str:
    """Return a short hash of JSON values."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    params = {name: param for name, param in model.named_parameters() if param.requires_grad}
    if not params:
        raise InputError("no parameter of the model requires a gradient: add an adapter, or unfreeze what is to learn")
    for name, param in params.items():
        if param.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"the trainable parameter {name} is {param.dtype}: AdamW loses small updates in it; "
                'train in float32, with mixed_precision = "bf16" for speed'
            )
    return params


def _adamw(params: Mapping[str, nn.Parameter], config: FitConfig) -> torch.optim.AdamW:
    matrices = [param for param in params.values() if param.ndim >= 2]
    others = [param for param in params.values() if param.ndim < 2]
    groups = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((matrices, config.weight_decay), (others, 0.0))
        if group
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)


def _made(output: Path) -> Path:
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the output folder {output} cannot be made ({error.strerror}): choose another one") from error
    return Path(output)
