"""Training by C-AdvUL and C-AdvIPO: LoRA, the optimiser and the mixture of data, with the paper's settings.

Knows the losses and the training loop. Knows nothing of judges, evaluation, cards or the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from trued.data.prompts import AdversarialRow
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.train.adversarial import (
    AdversarialBatch,
    Example,
    Pair,
    UtilityRow,
    collate,
    encode_chats,
    encode_pairs,
    interleave,
)
from trued.language.train.c_advul.loss import (
    AdvLossConfig,
    PreferenceLossConfig,
    cadvipo_loss,
    cadvul_loss,
    with_references,
)
from trued.learn.fit.loop import FitConfig, FitResult, StepLog, fit


@dataclass(frozen=True)
class _AdversarialTraining:
    """What both objectives share: LoRA, the optimiser and the data's mixture. Defaults are the paper's.

    Args:
        attack: the embedding attack; None trains on clean prompts.
        lora_r, lora_alpha, lora_dropout: the adapter.
        adversarial_share: share of adversarial rows among all.
        max_length: tokens of prompt and reply.
        fit: the optimiser.
    """

    attack: EmbeddingAttack | None = field(default_factory=EmbeddingAttack)
    lora_r: int = 64
    lora_alpha: float = 16
    lora_dropout: float = 0.1
    adversarial_share: float = 1.0
    max_length: int | None = 256
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=5, lr=2e-4, weight_decay=0.001, warmup=0.03, max_grad_norm=0.3, batch_size=8, accumulation=8
        )
    )

    def align(
        self,
        lm: LanguageModel,
        adversarial: Sequence[AdversarialRow],
        utility: Sequence[UtilityRow] = (),
        *,
        output: Path | None = None,
        resume: bool = False,
        validate: Callable[[LanguageModel, int], float] | None = None,
        report: Callable[[StepLog], None] | None = None,
        progress: bool = True,
    ) -> tuple[LanguageModel, FitResult]:
        """Train a LoRA adapter on `lm` and return the adapted model with the record of its training.

        Args:
            adversarial: prompts with affirmative targets and safe replies.
            utility: prompts with replies to keep; see `own_replies` for the model's own.
            output: folder for checkpoints; the adapter itself is saved by the caller (`save_adapter`).
            resume: continue an interrupted run in `output`.
            validate: takes the adapted model and the step; higher is better.

        Raises:
            InputError: no data, a share that the data cannot serve, or replies longer than the context.
        """
        tuned = lm.with_lora(self.lora_r, self.lora_alpha, self.lora_dropout, seed=self.fit.seed)
        pairs = self._prepare(tuned, encode_pairs(tuned, adversarial, max_length=self.max_length))
        chats = encode_chats(tuned, utility, max_length=self.max_length)
        generator = torch.Generator().manual_seed(self.fit.seed)
        examples: list[Example] = interleave(pairs, chats, self.adversarial_share, generator)
        result = fit(
            tuned.model,
            lambda _, batch: self._loss(tuned, batch) | {"weight": batch.rows, "tokens": batch.tokens},
            examples,
            self.fit,
            collate=lambda rows: collate(tuned, rows),
            output=output,
            resume=resume,
            validate=None if validate is None else lambda step: validate(tuned, step),
            report=report,
            progress=progress,
        )
        tuned.model.eval()
        return tuned, result

    def _prepare(self, lm: LanguageModel, pairs: list[Pair]) -> list[Pair]:
        return pairs

    def _loss(self, lm: LanguageModel, batch: AdversarialBatch) -> dict[str, Tensor]:
        raise TypeError("use CAdvUL or CAdvIPO")


@dataclass(frozen=True)
class CAdvUL(_AdversarialTraining):
    """Continuous adversarial unlikelihood (CAT in later versions of the paper); one row in eight is adversarial."""

    adversarial_share: float = 0.125
    loss: AdvLossConfig = field(default_factory=AdvLossConfig)

    def _loss(self, lm: LanguageModel, batch: AdversarialBatch) -> dict[str, Tensor]:
        return cadvul_loss(lm, self.attack, batch, self.loss)


@dataclass(frozen=True)
class CAdvIPO(_AdversarialTraining):
    """Continuous adversarial IPO (CAPO in later versions): 20 epochs of 128 tokens, no utility rows."""

    max_length: int | None = 128
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=20, lr=2e-4, weight_decay=0.001, warmup=0.03, max_grad_norm=0.3, batch_size=8, accumulation=8
        )
    )
    loss: PreferenceLossConfig = field(default_factory=PreferenceLossConfig)

    def _prepare(self, lm: LanguageModel, pairs: list[Pair]) -> list[Pair]:
        return pairs if self.loss.online_reference else with_references(lm, pairs, self.loss)

    def _loss(self, lm: LanguageModel, batch: AdversarialBatch) -> dict[str, Tensor]:
        return cadvipo_loss(lm, self.attack, batch, self.loss)
