"""The losses of C-AdvUL and C-AdvIPO on batches with attacked embeddings (arXiv 2405.15589, Section 3.2).

What differs from the released code is listed in the package's docstring. Knows log-probabilities and batches. Knows
nothing of training, judges or data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack, transfer
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import HEAD_CHUNK, Rows, full_logits, per_response, token_logprobs
from trued.language.train.adversarial import (
    AdversarialBatch,
    Pair,
)
from trued.learn.preference.choice import preference_loss
from trued.learn.preference.pairs import PairLogProbs
from trued.learn.preference.windowed import windowed_mean

CUTOFF_SLOPE = 0.001


@dataclass(frozen=True)
class AdvLossConfig:
    """The C-AdvUL loss (paper, Section 3.2; code): ``w_away A + w_toward T + w_utility U``.

    Args:
        away: "ce", the negative cross-entropy of the target, or "log_1_minus_p", unlikelihood in the strict sense.
        away_cutoff: below this mean log-probability (or, for "log_1_minus_p", per-token log-probability) the target is
            unlikely enough; the pull is cut to a thousandth (or to nothing).
        toward_cutoff: below this cross-entropy the safe reply is likely enough, likewise.
        away_weight, toward_weight, utility_weight: the weights.
        per_sample: cut off each sample by its own mean; otherwise by the mean over the batch's replies, where upstream
            takes the mean over its tokens.
        utility: "ce", cross-entropy of the utility replies (paper), or "kl", divergence of the model from its base at
            each of their tokens, which holds the whole distribution and not only the replies' tokens (ours).
    """

    away: Literal["ce", "log_1_minus_p"] = "ce"
    away_cutoff: float = -5.0
    toward_cutoff: float = 0.5
    away_weight: float = 0.5
    toward_weight: float = 0.5
    utility_weight: float = 1.0
    per_sample: bool = False
    utility: Literal["ce", "kl"] = "ce"


@dataclass(frozen=True)
class PreferenceLossConfig:
    """The C-AdvIPO loss (paper, Section 3.2; code), on windowed, length-averaged log-probabilities of both models.

    Upstream windows the policy's only, and averages over the length for IPO only.

    Args:
        loss: "ipo", or "sigmoid", "hinge", "kto_pair" on the same numbers.
        beta: its strength; for IPO the target margin is 1 / (2 beta).
        label_smoothing: for "sigmoid".
        away_cutoff: tokens of the target below this log-probability no longer pull.
        toward_cutoff: tokens of the safe reply above minus this no longer pull.
        online_reference: score the reference under the attack too, instead of on the clean prompt beforehand.
        utility_weight: weight of the utility rows; 0 is the paper's C-AdvIPO.
        utility: as in `AdvLossConfig`.
    """

    loss: Literal["ipo", "sigmoid", "hinge", "kto_pair"] = "ipo"
    beta: float = 0.25
    label_smoothing: float = 0.0
    away_cutoff: float = -5.0
    toward_cutoff: float = 0.0
    online_reference: bool = False
    utility_weight: float = 0.0
    utility: Literal["ce", "kl"] = "ce"


def soft_cutoff(value: Tensor, cutoff: float) -> Tensor:
    """Below `cutoff`, go on falling at a thousandth of the slope: ``cutoff + 0.001 value`` (code)."""
    return torch.where(value < cutoff, cutoff + CUTOFF_SLOPE * value, value)


def cadvul_loss(
    lm: LanguageModel, attack: EmbeddingAttack | None, batch: AdversarialBatch, config: AdvLossConfig
) -> dict[str, Tensor]:
    """C-AdvUL on one batch; without an attack (delta = 0) it is the control that isolates the attack.

    Returns:
        "loss" and its terms "away", "toward", "utility"; "attack", the target's cross-entropy at the attack's start,
        and "attacked" at its end.
    """
    zero = torch.zeros((), device=lm.device)
    away, toward, log = zero, zero, {}
    if batch.pairs is not None:
        delta, log = _attack(lm, attack, batch)
        states = lm.states(batch.pairs, delta)
        logprobs = token_logprobs(states, batch.pairs.targets, lm.head, lm.config)
        means = per_response(logprobs, batch.pairs) / batch.pairs.lengths
        safe, target = means[0::2], means[1::2]
        shape = (lambda x: x) if config.per_sample else (lambda x: x.mean())
        if config.away == "ce":
            away = soft_cutoff(shape(target), config.away_cutoff).mean()
        else:
            away = _unlikelihood(lm, states, logprobs, batch.pairs, config.away_cutoff)
        toward = soft_cutoff(shape(-safe), config.toward_cutoff).mean()
    utility = _utility(lm, batch, config.utility)
    loss = config.away_weight * away + config.toward_weight * toward + config.utility_weight * utility
    return {"loss": loss, "away": away, "toward": toward, "utility": utility, **log}


def cadvipo_loss(
    lm: LanguageModel, attack: EmbeddingAttack | None, batch: AdversarialBatch, config: PreferenceLossConfig
) -> dict[str, Tensor]:
    """C-AdvIPO on one batch; the reference is the base model (LoRA off), on the clean prompt unless online.

    Returns:
        "loss", "preference", "utility", and the margin and both rewards that the loss sees.

    Raises:
        InputError: references were not computed beforehand and `online_reference` is off.
    """
    zero = torch.zeros((), device=lm.device)
    preference, log = zero, {}
    if batch.pairs is not None:
        delta, log = _attack(lm, attack, batch)
        policy = windowed(lm.response_logprobs(batch.pairs, delta), batch.pairs, config)
        if config.online_reference:
            with lm.adapter(enabled=False), torch.no_grad():
                reference = windowed(lm.response_logprobs(batch.pairs, delta), batch.pairs, config)
        elif batch.references is not None:
            reference = batch.references
        else:
            raise InputError("reference log-probabilities are missing: call with_references, or use online_reference")
        pairs = PairLogProbs(policy[:, 0], policy[:, 1], reference[:, 0], reference[:, 1])
        options: dict[str, Any] = {"beta": config.beta}
        if config.loss == "ipo":
            options["average"] = False  # the windowed scores are averages already
        elif config.loss == "sigmoid":
            options["label_smoothing"] = config.label_smoothing
        out = preference_loss(pairs, config.loss, **options)
        preference = out.loss.mean()
        log["margin"] = (out.margin / config.beta).mean()
    utility = _utility(lm, batch, config.utility)
    return {
        "loss": preference + config.utility_weight * utility,
        "preference": preference,
        "utility": utility,
        **log,
    }


def windowed(logprobs: Float[Tensor, " scored"], rows: Rows, config: PreferenceLossConfig) -> Float[Tensor, "pairs 2"]:
    """Windowed mean log-probability of (safe reply, target) for each pair (paper's code; `windowed_mean`)."""
    replies = logprobs.split(rows.lengths.tolist())
    width = int(rows.lengths.max())
    padded = torch.stack([torch.nn.functional.pad(r, (0, width - len(r))) for r in replies])
    mask = torch.arange(width, device=rows.lengths.device) < rows.lengths[:, None]
    safe = windowed_mean(padded[0::2], mask[0::2], hi=-config.toward_cutoff)
    target = windowed_mean(padded[1::2], mask[1::2], lo=config.away_cutoff)
    return torch.stack([safe, target], 1)


@torch.no_grad()
def with_references(
    lm: LanguageModel, pairs: Sequence[Pair], config: PreferenceLossConfig, *, batch: int = 16
) -> list[Pair]:
    """Give each pair the base model's scores on the clean prompt, computed once and kept with the example."""
    done: list[Pair] = []
    with lm.adapter(enabled=False):
        for start in range(0, len(pairs), batch):
            part = pairs[start : start + batch]
            rows = lm.rows([p.prompt for p in part], [[p.safe, p.target] for p in part])
            scores = windowed(lm.response_logprobs(rows), rows, config).tolist()
            done += [replace(p, reference=(safe, target)) for p, (safe, target) in zip(part, scores, strict=True)]
    return done


def _attack(
    lm: LanguageModel, attack: EmbeddingAttack | None, batch: AdversarialBatch
) -> tuple[Tensor | None, dict[str, Tensor]]:
    assert batch.attack is not None
    assert batch.pairs is not None
    if attack is None or attack.steps == 0:
        return None, {}
    perturbation = attack.perturb(lm, batch.attack)
    log = {"attack": torch.tensor(perturbation.losses[0]), "attacked": torch.tensor(perturbation.losses[-1])}
    return transfer(perturbation.delta, batch.attack, batch.pairs), log


def _utility(lm: LanguageModel, batch: AdversarialBatch, kind: str) -> Tensor:
    """Loss on the utility replies, token mean, on clean input; zero for a batch without any."""
    if batch.chats is None:
        return torch.zeros((), device=lm.device)
    if kind == "ce":
        return -lm.response_logprobs(batch.chats).mean()
    with lm.adapter(enabled=False), torch.no_grad():
        before = lm.states(batch.chats)
    pairs = zip(before.split(HEAD_CHUNK), lm.states(batch.chats).split(HEAD_CHUNK), strict=True)
    parts = [checkpoint(_divergence, ref, now, lm.head, lm.config, use_reentrant=False) for ref, now in pairs]
    divergences: Tensor = torch.cat(parts)  # pyright: ignore
    return divergences.mean()


def _divergence(ref: Tensor, now: Tensor, head: torch.nn.Module, config: object) -> Float[Tensor, " tokens"]:
    """KL(base || model) of the next-token distributions, nats."""
    log_ref, log_now = (full_logits(h, head, config).log_softmax(-1) for h in (ref, now))
    return (log_ref.exp() * (log_ref - log_now)).sum(-1)


def _unlikelihood(lm: LanguageModel, states: Tensor, logprobs: Tensor, rows: Rows, cutoff: float) -> Tensor:
    """``-mean log(1 - p)`` over target tokens, zero where the token is unlikely enough already.

    1 - p is the share of all other tokens, so it is taken from their own logsumexp: ``log(1 - exp(log p))`` has no
    digits left where p is near 1, which is where the gradient matters.
    """
    is_target = rows.owner % 2 == 1
    target_states, targets = states[is_target], rows.targets[is_target]
    parts = [
        checkpoint(_log_others, h, t, lm.head, lm.config, use_reentrant=False)
        for h, t in zip(target_states.split(HEAD_CHUNK), targets.split(HEAD_CHUNK), strict=True)
    ]
    others: Tensor = torch.cat(parts)  # pyright: ignore
    live = logprobs[is_target].detach() >= cutoff
    return -torch.where(live, others, 0.0).mean()


def _log_others(hidden: Tensor, targets: Tensor, head: torch.nn.Module, config: object) -> Tensor:
    logits = full_logits(hidden, head, config)
    others = logits.scatter(-1, targets[:, None], float("-inf"))
    return others.logsumexp(-1) - logits.logsumexp(-1)
