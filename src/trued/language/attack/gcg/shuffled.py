"""GCG along a gradient of the right size and no use: what is left of the attack without what the gradient knows.

A control. It makes every step and every pass of GCG, so that a difference to GCG is the gradient's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.language.attack.gcg.loss import Encoded, SuffixLoss
from trued.language.attack.gcg.search import GCG
from trued.language.attack.gcg.suffix import SlottedPrompt
from trued.language.engine.model import LanguageModel


class ShuffledLoss(SuffixLoss):
    """A loss whose gradient has its components in another order, which the suffix alone decides."""

    def gradient(self, suffix: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n dim"], Encoded | None]:
        gradient, encoded = super().gradient(suffix)
        order = torch.Generator().manual_seed(int(suffix.sum()))
        return gradient[:, torch.randperm(gradient.shape[1], generator=order).to(gradient.device)], encoded


@dataclass(frozen=True)
class ShuffledGCG(GCG):
    """GCG along a shuffled gradient."""

    def _losses(
        self, model: LanguageModel, prompts: Sequence[SlottedPrompt], targets: Sequence[Sequence[int]]
    ) -> list[SuffixLoss]:
        return [
            ShuffledLoss(
                model, prompt.before, prompt.after, target, mellowmax=self.mellowmax, batch_size=self.batch_size,
                cached=self.cached,
            )
            for prompt, target in zip(prompts, targets, strict=True)
        ]  # fmt: skip
