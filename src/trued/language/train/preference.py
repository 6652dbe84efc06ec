"""Preference training with LoRA: DPO and its family on a better and a worse reply to each prompt.

Each prompt is computed once for both of its replies, the output head runs on reply tokens only, and the reference (the
base model, adapter off) is scored once beforehand and kept with its example. The losses are those of
`trued.learn.preference`.

Knows rows of preferences, log-probabilities and the training loop. Knows nothing of judges, evaluation, cards or the
terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.prompts import PreferenceRow
from trued.errors import InputError, nearest
from trued.language.engine.generation import plan_batches
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows, per_response
from trued.learn.fit.loop import FitConfig, FitResult, StepLog, fit
from trued.learn.preference.choice import PREFERENCE_LOSSES, preference_loss
from trued.learn.preference.pairs import REFERENCE_FREE, PairLogProbs

REFERENCE_TOKENS = 4096  # of a batch that scores references
START_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
COARSE_TOLERANCE = 0.02  # of types with fewer digits


@dataclass(frozen=True)
class EncodedPair:
    """A prompt with both replies in token ids; `reference` holds their summed log-probabilities under the base model.

    The reference stands with its example, so no order of batches can give it to another one.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    reference: tuple[float, float] | None = None

    @property
    def tokens(self) -> int:
        """The number of tokens that a training step computes for this pair."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass(frozen=True)
class PairBatch:
    """A batch of pairs: one row a prompt, its chosen reply before its rejected one."""

    rows: Rows
    references: Float[Tensor, "pairs 2"] | None

    @property
    def tokens(self) -> int:
        return self.rows.tokens


def encode_preferences(
    lm: LanguageModel, rows: Sequence[PreferenceRow], *, max_length: int | None = None
) -> list[EncodedPair]:
    """Turn rows into token ids, the end of turn of each reply included.

    Args:
        lm: whose chat template and context are used.
        rows: the preferences.
        max_length: the most tokens of a prompt with its longer reply; None for the model's context.

    Raises:
        InputError: no rows, or a row that is longer: a reply cut off would be compared by its beginning only.
    """
    if not rows:
        raise InputError("there are no preference rows: give at least one {prompt, chosen, rejected}")
    longest = lm.context if max_length is None else min(max_length, lm.context)
    pairs = []
    for number, row in enumerate(rows, start=1):
        pair = EncodedPair(lm.prompt_ids(row.prompt), lm.reply_ids(row.chosen), lm.reply_ids(row.rejected))
        reply = max(len(pair.chosen), len(pair.rejected))
        if len(pair.prompt) + reply > longest:
            raise InputError(
                f"row {number}: the prompt is {len(pair.prompt)} tokens and its longer reply {reply}, "
                f"more than {longest} together: shorten the row, drop it, or raise max_length "
                f"(the context of {lm.name} is {lm.context})"
            )
        pairs.append(pair)
    return pairs


def collate_pairs(lm: LanguageModel, pairs: Sequence[EncodedPair]) -> PairBatch:
    """Lay out a batch; references are there if every pair has one."""
    rows = lm.rows([p.prompt for p in pairs], [[p.chosen, p.rejected] for p in pairs])
    known = [p.reference for p in pairs if p.reference is not None]
    whole = len(known) == len(pairs)
    return PairBatch(rows, torch.tensor(known, device=lm.device) if whole else None)


def pair_logprobs(lm: LanguageModel, rows: Rows) -> Float[Tensor, "pairs 2"]:
    """Summed log-probabilities of (chosen, rejected), in nats.

    Where dropout leaves a LoRA layer to PEFT, its cast of the input to float32 is left out under autocast, which undoes
    it at once: each layer would keep a copy of its input, where the copies of q, k and v can be one tensor.
    """
    from peft.helpers import disable_input_dtype_casting

    with disable_input_dtype_casting(lm.model, active=torch.is_autocast_enabled(lm.device.type)):
        return per_response(lm.response_logprobs(rows), rows).unflatten(0, (-1, 2))


@torch.no_grad()
def with_references(
    lm: LanguageModel, pairs: Sequence[EncodedPair], *, batch_tokens: int = REFERENCE_TOKENS
) -> list[EncodedPair]:
    """Give each pair its log-probabilities under the base model: adapter off, dropout off, computed once."""
    done = list(pairs)
    training = lm.model.training
    lm.model.eval()
    try:
        with lm.adapter(enabled=False):
            for batch in _plan(pairs, batch_tokens):
                scores = pair_logprobs(lm, collate_pairs(lm, [pairs[i] for i in batch]).rows).tolist()
                for index, (chosen, rejected) in zip(batch, scores, strict=True):
                    done[index] = replace(pairs[index], reference=(chosen, rejected))
    finally:
        lm.model.train(training)
    return done


def _plan(pairs: Sequence[EncodedPair], batch_tokens: int) -> list[list[int]]:
    return plan_batches([p.tokens for p in pairs], new_tokens=0, copies=1, budget=batch_tokens)


@dataclass(frozen=True)
class PreferenceTraining:
    """LoRA training on preferences (DPO: arXiv 2305.18290, eq. 7, unless another loss is named).

    Args:
        loss: one of `trued.learn.preference.PREFERENCE_LOSSES`: sigmoid (DPO), sigmoid_norm, robust, hinge, ipo,
            kto_pair, apo_zero, apo_down, exo_pair, sppo_hard, dpop, cpo, simpo or orpo.
        beta: its strength; DPO's pull towards the reference. None is the loss's own: 0.1, and SimPO's 2.
        label_smoothing: share of labels taken to be flipped, for the losses that know it; None is the loss's own.
        gamma: SimPO's margin; None is 1.
        alpha: CPO's weight of the chosen reply's cross-entropy; None is 1.
        penalty: DPO-positive's weight of lost likelihood; None is 50.
        lora_r, lora_alpha: the adapter, on all linear layers.
        dropout: LoRA's.
        fit: the optimiser. With `mixed_precision` "bf16" references are scored in the same precision.
        max_length: the most tokens of a prompt with its longer reply; None for the model's context.
        checkpointing: recompute each layer in the backward pass instead of keeping its activations: the same numbers
            in a fraction of the memory, for about a third more time.

    Raises:
        InputError: an unknown loss, or an option that it cannot take.
    """

    loss: str = "sigmoid"
    beta: float | None = None
    label_smoothing: float | None = None
    gamma: float | None = None
    alpha: float | None = None
    penalty: float | None = None
    lora_r: int = 16
    lora_alpha: float = 32
    dropout: float = 0.0
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=1, lr=5e-5, batch_size=4))
    max_length: int | None = None
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.loss not in PREFERENCE_LOSSES:
            raise InputError(f"unknown preference loss {self.loss!r}{nearest(self.loss, PREFERENCE_LOSSES)}")
        probe, lengths = torch.full((2,), -1.0), torch.ones(2, dtype=torch.long)
        preference_loss(PairLogProbs(probe, probe, probe, probe, lengths, lengths), self.loss, **self._options())

    def align(
        self,
        lm: LanguageModel,
        rows: Sequence[PreferenceRow],
        *,
        output: Path | None = None,
        resume: bool = False,
        validate: Callable[[LanguageModel, int], float] | None = None,
        report: Callable[[StepLog], None] | None = None,
        progress: bool = True,
    ) -> tuple[LanguageModel, FitResult]:
        """Train a LoRA adapter on `lm` and return the adapted model with the record of its training.

        Each step logs the loss, `accuracy` (share of pairs whose chosen reply has the larger reward), `margin`,
        `chosen_reward`, `rejected_reward`, `chosen` (mean log-probability of a chosen token, in nats) and `drift`, how
        far that has moved from the reference: DPO may lower it while the margin grows.

        Args:
            lm: the base model, without an adapter.
            rows: prompts with a better and a worse reply.
            output: folder for checkpoints; the adapter itself is saved by the caller (`save_adapter`).
            resume: continue an interrupted run in `output`.
            validate: takes the adapted model and the step; higher is better.
            report: called after each step.
            progress: show a bar on standard error, if that is a terminal.

        Raises:
            InputError: no rows, rows too long, a model that has an adapter, or a start that is not the reference.
        """
        tuned = lm.with_lora(self.lora_r, self.lora_alpha, self.dropout, seed=self.fit.seed)
        pairs = encode_preferences(tuned, rows, max_length=self.max_length)
        if self.loss not in REFERENCE_FREE:
            with self._precision(tuned):
                pairs = with_references(tuned, pairs)
                self.check_start(tuned, pairs)
        with self._checkpointed(tuned):
            result = fit(
                tuned.model,
                lambda _, batch: self.losses(tuned, batch),
                pairs,
                self.fit,
                collate=lambda part: collate_pairs(tuned, part),
                lengths=[pair.tokens for pair in pairs],
                output=output,
                resume=resume,
                validate=None if validate is None else lambda step: validate(tuned, step),
                report=report,
                progress=progress,
            )
        tuned.model.eval()
        return tuned, result

    def losses(self, lm: LanguageModel, batch: PairBatch) -> dict[str, Any]:
        """The mean loss of a batch, and what `align` logs beside it."""
        policy = pair_logprobs(lm, batch.rows)
        pairs = self._pairs(policy, batch)
        out = preference_loss(pairs, self.loss, **self._options())
        lengths = batch.rows.lengths.unflatten(0, (-1, 2))
        log = {
            "accuracy": out.correct.float().mean(),
            "margin": out.margin.mean(),
            "chosen_reward": out.chosen_reward.mean(),
            "rejected_reward": out.rejected_reward.mean(),
            "chosen": (policy[:, 0] / lengths[:, 0]).detach().mean(),
        }
        if batch.references is not None:
            log["drift"] = ((policy - batch.references)[:, 0] / lengths[:, 0]).detach().mean()
        return {"loss": out.loss.mean(), **log, "weight": len(policy), "tokens": batch.tokens}

    @torch.no_grad()
    def check_start(self, lm: LanguageModel, pairs: Sequence[EncodedPair]) -> None:
        """Make sure that an adapter which has learnt nothing is its own reference: DPO's loss is then log 2.

        One batch is scored as its references were, so the numbers agree to rounding, or references are not what they
        should be: of another model, of other rows, or scored with dropout.

        Raises:
            InputError: they do not agree.
        """
        planned = _plan(pairs, REFERENCE_TOKENS)
        smallest = min((b for b in planned if len(b) > 1), key=len, default=planned[0])
        batch = collate_pairs(lm, [pairs[i] for i in smallest])
        if batch.references is None:
            raise InputError("reference log-probabilities are missing: call with_references first")
        training = lm.model.training
        lm.model.eval()
        try:
            measured = float(self.losses(lm, batch)["loss"])
        finally:
            lm.model.train(training)
        same = preference_loss(self._pairs(batch.references, batch), self.loss, **self._options())
        expected = float(same.loss.mean())
        coarse = torch.is_autocast_enabled(lm.device.type)
        tolerance = COARSE_TOLERANCE if coarse else START_TOLERANCE.get(lm.dtype, COARSE_TOLERANCE)
        if not abs(measured - expected) <= tolerance * max(1.0, abs(expected)):
            raise InputError(
                f"before the first step the {self.loss} loss is {measured:.4f} and with the policy equal to its "
                f"reference it is {expected:.4f}: the references belong to another model or to other rows; score them "
                "again with with_references, from the base that the adapter is put on"
            )

    def _pairs(self, policy: Float[Tensor, "pairs 2"], batch: PairBatch) -> PairLogProbs:
        reference = (None, None) if batch.references is None else batch.references.unbind(1)
        return PairLogProbs(*policy.unbind(1), *reference, *batch.rows.lengths.unflatten(0, (-1, 2)).unbind(1))

    def _options(self) -> dict[str, float]:
        names = ("beta", "label_smoothing", "gamma", "alpha", "penalty")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @contextmanager
    def _checkpointed(self, lm: LanguageModel) -> Iterator[None]:
        if self.checkpointing:
            lm.base.gradient_checkpointing_enable({"use_reentrant": False})
        try:
            yield
        finally:
            if self.checkpointing:
                lm.base.gradient_checkpointing_disable()

    def _precision(self, lm: LanguageModel) -> AbstractContextManager:
        return torch.autocast(lm.device.type, dtype=torch.bfloat16, enabled=self.fit.mixed_precision == "bf16")
