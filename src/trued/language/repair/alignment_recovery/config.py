"""The settings of alignment recovery, checked when they are made.

Knows numbers and the depth of a model. Knows nothing of weights or prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.repair.alignment_recovery.representation import DirectionKind, decoder_layers
from trued.language.repair.alignment_recovery.selection import Granularity, Rule, known


@dataclass(frozen=True)
class RecoveryConfig:
    """Settings of alignment recovery; the defaults are the paper's, where a line does not say otherwise.

    Args:
        layer_frac: which share of the layers runs; l = floor(layer_frac * layers).
        position: the prompt token whose state is compared, counted from the end.
        rate: share of all the model's weights that a step restores (0.001 for 13 billion weights). The released code
            takes its share of the decoder layers' weights, without embeddings and head, so the same rate restores fewer
            there: multiply it by their share of the model to restore as many.
        steps: recovery steps.
        warmup: steps without rollback, after which the task decides whether the run starts again with it.
        save_every: steps between checkpoints.
        max_task_drop: the task's score may fall by this share of what it was.
        rollback_rate: share of the copies that the task asks to undo, which are undone.
        batch_size: prompts whose mean state is compared.
        accumulate: let gradients add up over the steps of a run without rollback, as the released code does. The
            default does not: each step follows the gradient at the weights that it finds.
        rule: how weights are ranked; "sign" is the paper's, the others are ablations.
        granularity: what is restored at once: weights ("scalar", the paper's), rows ("neuron") or matrices ("lora").
        direction: of the harmful questions: "mean", or the first principal component of the two models' differences.
        centred: compare states after the harmful and task prompts' common mean is taken off.
        seed: of the rule "random".
    """

    layer_frac: float = 4 / 6
    position: int = -1
    rate: float = 0.002
    steps: int = 20
    warmup: int = 5
    save_every: int = 5
    max_task_drop: float = 0.05
    rollback_rate: float = 0.2
    batch_size: int = 8
    accumulate: bool = False
    rule: Rule = "sign"
    granularity: Granularity = "scalar"
    direction: DirectionKind = "mean"
    centred: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        known(self.rule, self.granularity)
        for name in ("layer_frac", "rate", "rollback_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: it is a share above 0, at most 1")
        if not 0 <= self.max_task_drop < 1:
            raise InputError(f"max_task_drop is {self.max_task_drop}: it is a share from 0 to below 1; 0.05 is 5 %")
        for name in ("steps", "warmup", "save_every", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.position >= 0:
            raise InputError(f"position is {self.position}: tokens are counted from the prompt's end, -1 is the last")
        if self.direction not in ("mean", "principal"):
            raise InputError(f"direction is {self.direction!r}: choose 'mean' or 'principal'")

    def depth(self, lm: LanguageModel) -> int:
        """How many layers run: l of the paper."""
        # 4/6 of 30 is 19.999… in floating point, and the paper's 20.
        return max(1, math.floor(self.layer_frac * len(decoder_layers(lm)) + 1e-9))


PAPER = RecoveryConfig()
"""The paper's settings."""
