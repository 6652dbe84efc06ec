"""The default recipe: teach a chat model to refuse, under attack, without teaching it to refuse everything.

C-AdvUL's adversarial terms (arXiv 2405.15589) with utility rows that the model answered itself, held by the divergence
from the base model rather than by cross-entropy, and early stopping on validation prompts. Without the utility rows
eight steps make a blanket refuser, which only the look-alikes show.

Knows prompts, a judge's verdicts and `CAdvUL`. Knows nothing of the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trued.data.prompts import AdversarialRow, adversarial_rows, prompts, templates
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.judge.reply import Judge, Label, PhraseJudge
from trued.language.train.adversarial import AdversarialBatch, UtilityRow, own_replies
from trued.language.train.c_advul.align import CAdvUL
from trued.language.train.c_advul.loss import AdvLossConfig, cadvul_loss
from trued.learn.fit.loop import FitConfig, FitResult, StepLog


@dataclass(frozen=True)
class TradeOff:
    """What a model does with validation prompts at one step; `score` is what early stopping maximises."""

    step: int
    refused: float
    refused_in_templates: float
    over_refused: float

    @property
    def score(self) -> float:
        """Mean refusal of harmful requests minus twice the refusal of benign ones: needless refusals cost double."""
        return (self.refused + self.refused_in_templates) / 2 - 2 * self.over_refused


@dataclass(frozen=True)
class PartlyAttacked(CAdvUL):
    """C-AdvUL that attacks only a share of its batches.

    A model that only ever refuses attacked prompts can learn the perturbation itself as the sign to refuse, and answer
    the same requests when they come clean. The random number is the step's own (`fit` reseeds it): resuming is exact.
    """

    attacked_share: float = 0.5

    def _loss(self, lm: LanguageModel, batch: AdversarialBatch) -> dict[str, Tensor]:
        attacked = float(torch.rand(())) < self.attacked_share
        return cadvul_loss(lm, self.attack if attacked else None, batch, self.loss)


@dataclass(frozen=True)
class Recipe:
    """Settings of the default alignment; a pilot on the training and validation prompts chose them.

    Args:
        steps, lr, batch_size: of the optimiser; `adversarial_share` of the rows are attacked requests.
        lora_r, lora_alpha: the adapter.
        attack_steps, eps: the embedding attack in training, on `attacked_share` of the batches.
        toward_cutoff: cross-entropy of the refusal below which it counts as learned; the paper's 0.5 stops so early
            that unseen requests are answered again.
        utility_weight: weight of the divergence from the base on utility rows.
        utility_tokens: length of the base's own replies that are kept; refusals show in the first words.
        validate_every: steps between looks at the validation prompts; the best look is kept.
        refusals: how many of the shipped short refusals are taught.
        targets: affirmative openings a request.
        new_tokens: length of validation replies.
    """

    steps: int = 40
    lr: float = 8e-4
    batch_size: int = 20
    adversarial_share: float = 0.2
    lora_r: int = 16
    lora_alpha: float = 32
    attack_steps: int = 4
    eps: float = 0.05
    attacked_share: float = 0.5
    toward_cutoff: float = 0.1
    utility_weight: float = 12.0
    utility_tokens: int = 8
    validate_every: int = 8
    refusals: int = 2
    targets: int = 3
    new_tokens: int = 32
    seed: int = 0

    def method(self) -> PartlyAttacked:
        """The training run that these settings describe."""
        return PartlyAttacked(
            attack=EmbeddingAttack(eps=self.eps, steps=self.attack_steps, relative_lr=True),
            lora_r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=0.0,
            adversarial_share=self.adversarial_share,
            max_length=None,
            attacked_share=self.attacked_share,
            fit=FitConfig(
                steps=self.steps,
                lr=self.lr,
                batch_size=self.batch_size,
                max_grad_norm=1.0,
                validate_every=self.validate_every,
                checkpoint_every=self.validate_every,
                seed=self.seed,
            ),
            loss=AdvLossConfig(
                away_weight=0.1,
                toward_weight=1.0,
                toward_cutoff=self.toward_cutoff,
                utility_weight=self.utility_weight,
                utility="kl",
            ),
        )

    def align(
        self,
        lm: LanguageModel,
        *,
        adversarial: Sequence[AdversarialRow] | None = None,
        utility: Sequence[UtilityRow] | None = None,
        judge: Judge | None = None,
        output: Path | None = None,
        resume: bool = False,
        looked: Callable[[TradeOff], None] | None = None,
        report: Callable[[StepLog], None] | None = None,
        progress: bool = True,
    ) -> tuple[LanguageModel, FitResult, list[TradeOff]]:
        """Train an adapter on `lm`; the shipped prompts serve where no data is given.

        Args:
            looked: called after each look at the validation prompts.
            output, resume, report, progress: as in `CAdvUL.align`.

        Returns:
            The adapted model with its best weights, the record of its training, and the looks, in order.
        """
        rows = adversarial
        if rows is None:
            rows = adversarial_rows("train", targets=self.targets, refusals=self.refusals)
        if utility is None:
            questions = [row.prompt for kind in ("lookalikes", "general") for row in prompts(kind, "train")]
            utility = own_replies(lm, questions, max_new_tokens=self.utility_tokens)
        looks: list[TradeOff] = []

        def validate(tuned: LanguageModel, step: int) -> float:
            look = trade_off(tuned, step, judge or PhraseJudge(), self.new_tokens)
            looks.append(look)
            if looked is not None:
                looked(look)
            return look.score

        tuned, result = self.method().align(
            lm, rows, utility, output=output, resume=resume, validate=validate, report=report, progress=progress
        )
        return tuned, result, looks


def trade_off(lm: LanguageModel, step: int, judge: Judge, new_tokens: int) -> TradeOff:
    """Ask the validation prompts: harmful ones, harmful ones in a template each, and benign look-alikes."""
    harmful, benign = ([row.prompt for row in prompts(kind, "validation")] for kind in ("harmful", "lookalikes"))
    frames = templates()
    wrapped = [frames[i % len(frames)].wrap(text) for i, text in enumerate(harmful)]
    questions = [*harmful, *wrapped, *benign]
    with lm.merged():
        replies = [group[0] for group in lm.generate(questions, max_new_tokens=new_tokens)]
    refused = [label is Label.NO for label in judge.label([*harmful, *harmful, *benign], replies)]
    n = len(harmful)
    shares = [sum(part) / len(part) for part in (refused[:n], refused[n : 2 * n], refused[2 * n :])]
    return TradeOff(step, *shares)
