"""Fine-tuning on replies, of all weights or a LoRA: plain, or held near the model that it starts from, token by token.

The constrained objective is that of "Safety alignment should be made more than just a few tokens deep" (2406.05946,
Section 4): with pi_0 the model before fine-tuning and beta_t large for the first tokens of a reply,

    L = -sum_t (2 / beta_t) log sigmoid(beta_t log(pi(y_t | x, y_<t) / pi_0(y_t | x, y_<t)))

whose gradient is that of cross-entropy where pi = pi_0, and fades where pi has moved up: the more, the larger beta_t.

Knows rows of replies and weights. Knows nothing of what is taught, or of what is repaired afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.data.prompts import ReplyRow
from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import token_logprobs
from trued.language.train.supervised import Encoded, ReplyBatch, collate, encode, reply_loss
from trued.learn.fit.loop import FitConfig, FitResult, StepLog, fit


@dataclass(frozen=True)
class TokenConstraint:
    """How strongly each token of a reply is held (2406.05946, Section 4.1): `first`, `early` up to `until`, `late`."""

    first: float = 0.5
    early: float = 2.0
    until: int = 5
    late: float = 0.1

    def __post_init__(self) -> None:
        if min(self.first, self.early, self.late) <= 0 or self.until < 1:
            raise InputError(f"{self}: every strength is above 0, and `until` counts tokens from 1")

    def betas(self, places: Int[Tensor, " tokens"]) -> Float[Tensor, " tokens"]:
        """Return the strength for tokens at these places of their reply, counted from 0."""
        early = torch.where(places < self.until, self.early, self.late)
        return torch.where(places == 0, self.first, early)


def fine_tune(
    lm: LanguageModel,
    rows: Sequence[ReplyRow],
    config: FitConfig,
    *,
    constraint: TokenConstraint | None = None,
    output: Path | None = None,
    resume: bool = False,
    report: Callable[[StepLog], None] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train all weights of `lm`, in place, on the tokens of replies.

    Args:
        lm: a model in float32 without an adapter; `config.mixed_precision` decides what it computes in.
        constraint: hold the replies' tokens near what `lm` gives them now; None is plain fine-tuning.
        output, resume, report, progress: as in `trued.learn.fit.loop.fit`.

    Raises:
        InputError: see `trued.language.train.supervised.encode` and `learn.fit`; also a model with an adapter.
    """
    if hasattr(lm.model, "peft_config"):
        raise InputError(f"{lm.name} has an adapter: merge it first, all weights are trained here")
    examples = encode(lm, rows)
    flags = [(parameter, parameter.requires_grad) for parameter in lm.base.parameters()]
    try:
        held: list[_Held] | None = None
        if constraint is not None:
            held = _references(lm, examples)
        lm.base.requires_grad_(True)
        if held is None:
            return fit(
                lm.model, lambda _, batch: reply_loss(lm, batch), examples, config,
                collate=lambda part: collate(lm, part), output=output, resume=resume, report=report, progress=progress,
            )  # fmt: skip
        return fit(
            lm.model, lambda _, batch: constrained_loss(lm, *batch, constraint or TokenConstraint()), held, config,
            collate=lambda part: _with_references(lm, part), output=output, resume=resume, report=report,
            progress=progress,
        )  # fmt: skip
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@dataclass(frozen=True)
class FineTuning:
    """Supervised fine-tuning on replies, of all weights or of a LoRA adapter.

    Args:
        tune: train LoRA, or all weights of a float32 copy.
        lora_r, lora_alpha, lora_dropout: the adapter.
        constrained: hold the first tokens of each reply near the model before fine-tuning (2406.05946); needs `tune`
            "full".
        constraint: how strongly.
        fit: the optimiser.

    Raises:
        InputError: a constraint on LoRA.
    """

    tune: Literal["lora", "full"] = "lora"
    lora_r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    constrained: bool = False
    constraint: TokenConstraint = TokenConstraint()
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=1, lr=1e-4, batch_size=8))

    def __post_init__(self) -> None:
        if self.constrained and self.tune == "lora":
            raise InputError("constrained is set and tune is 'lora': the constraint needs all weights, tune 'full'")

    def align(
        self,
        lm: LanguageModel,
        rows: Sequence[ReplyRow],
        *,
        output: Path | None = None,
        resume: bool = False,
        report: Callable[[StepLog], None] | None = None,
        progress: bool = True,
    ) -> tuple[LanguageModel, FitResult]:
        """Train on `rows` and return the tuned model with the record of its training; `lm` itself stays as it is.

        Raises:
            InputError: see `fine_tune`.
        """
        if self.tune == "full":
            tuned = copy.copy(lm)
            tuned.model = copy.deepcopy(lm.model).float()
            result = fine_tune(
                tuned, rows, self.fit, constraint=self.constraint if self.constrained else None, output=output,
                resume=resume, report=report, progress=progress,
            )  # fmt: skip
        else:
            examples = encode(lm, rows)
            tuned = lm.with_lora(self.lora_r, self.lora_alpha, self.lora_dropout, seed=self.fit.seed)
            result = fit(
                tuned.model, lambda _, batch: reply_loss(tuned, batch), examples, self.fit,
                collate=lambda part: collate(tuned, part), output=output, resume=resume, report=report,
                progress=progress,
            )  # fmt: skip
        tuned.model.eval()
        return tuned, result


def constrained_loss(
    lm: LanguageModel,
    batch: ReplyBatch,
    references: Float[Tensor, " replied"],
    places: Int[Tensor, " replied"],
    constraint: TokenConstraint,
) -> dict[str, Tensor | float | int]:
    """The constrained objective on one batch, as a mean over reply tokens.

    Args:
        references: log-probabilities of the reply tokens under pi_0.
        places: where each token stands in its reply, from 0.
    """
    states = lm.states(batch.rows)[batch.is_reply]
    logprobs = token_logprobs(states, batch.rows.targets[batch.is_reply], lm.head, lm.config)
    betas = constraint.betas(places)
    each = -2 / betas * torch.nn.functional.logsigmoid(betas * (logprobs - references))
    total = float(batch.weights.sum())
    return {"loss": (batch.weights * each).sum() / total, "weight": total, "tokens": batch.rows.tokens}


@dataclass(frozen=True)
class _Held:
    """A row with the log-probabilities of its reply under the model before fine-tuning."""

    row: Encoded
    reference: Float[Tensor, " reply"]


@torch.no_grad()
def _references(lm: LanguageModel, examples: Sequence[Encoded], *, batch: int = 16) -> list[_Held]:
    held = []
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        laid = collate(lm, [replace(example, weight=1.0) for example in part])
        states = lm.states(laid.rows)[laid.is_reply]
        logprobs = token_logprobs(states, laid.rows.targets[laid.is_reply], lm.head, lm.config).cpu()
        pieces = logprobs.split([len(example.reply) for example in part])
        held += [_Held(example, piece) for example, piece in zip(part, pieces, strict=True)]
    return held


def _with_references(lm: LanguageModel, part: Sequence[_Held]) -> tuple[ReplyBatch, Tensor, Tensor]:
    places = torch.cat([torch.arange(len(held.reference)) for held in part]).to(lm.device)
    references = torch.cat([held.reference for held in part]).to(lm.device)
    return collate(lm, [held.row for held in part]), references, places
