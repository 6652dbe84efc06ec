"""Continuous attack on input embeddings (arXiv 2405.15589, Section 3; upstream's attack loop).

A perturbation of the prompt's embeddings, bounded per token, that makes a given reply likely. Knows embeddings and
log-probabilities. Knows nothing of training, of judges or of text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import Rows, full_logits, per_response, token_logprobs


@dataclass(frozen=True)
class AttackResult:
    """What the attack found.

    `delta` is zero outside prompts. `losses[k]` is the mean target cross-entropy, in nats a token, before update k;
    `affirmative[k]` is the number of rows whose whole target is the arg-max decoding at that moment.
    `forwards` and `backwards` count passes over the batch.
    """

    delta: Float[Tensor, "rows time dim"]
    losses: list[float]
    affirmative: list[int]
    forwards: int
    backwards: int


@dataclass(frozen=True)
class EmbeddingAttack:
    """Sign-gradient ascent on the target's likelihood, projected on an L2 ball around each prompt token.

    Args:
        eps: radius, as a share of the mean norm of the embedding matrix's rows (paper: 0.05; MixAT: 0.075).
        steps: number of updates K (paper: 10).
        lr: step size; absolute, as upstream has it, unless `relative_lr`.
        optimizer: "sign", "adam" or "rmsprop".
        relative_lr: use ``2.5 eps_abs / (K sqrt(d))`` instead of `lr`, so that K sign steps reach the ball on any
            model. An absolute 1e-4 cannot on a model with large embeddings: see `reach`.
        return_best: return each row's best perturbation instead of the last one (upstream returns the last).
        count_affirmative: also count fully decoded targets at each step, for one more pass of the head a step.
    """

    eps: float = 0.05
    steps: int = 10
    lr: float = 1e-4
    optimizer: Literal["sign", "adam", "rmsprop"] = "sign"
    relative_lr: bool = False
    return_best: bool = False
    count_affirmative: bool = False

    def __post_init__(self) -> None:
        if self.eps < 0 or self.steps < 0 or self.lr <= 0:
            raise InputError(f"eps {self.eps}, steps {self.steps} and lr {self.lr} need to be positive")
        if self.optimizer not in ("sign", "adam", "rmsprop"):
            raise InputError(f"optimizer '{self.optimizer}' is unknown: use sign, adam or rmsprop")

    def radius(self, lm: LanguageModel) -> float:
        """The ball's radius in embedding units: `eps` times the mean norm of the embedding matrix's rows."""
        return self.eps * mean_embedding_norm(lm)

    def step_size(self, lm: LanguageModel, radius: float) -> float:
        """The step of one update, per coordinate."""
        if not self.relative_lr:
            return self.lr
        dim = lm.base.get_input_embeddings().weight.shape[-1]
        return 2.5 * radius / (max(1, self.steps) * dim**0.5)

    def reach(self, lm: LanguageModel) -> float:
        """How far K aligned sign steps can go, as a share of the radius; below 1 the ball is never reached."""
        radius = self.radius(lm)
        dim = lm.base.get_input_embeddings().weight.shape[-1]
        return self.steps * self.step_size(lm, radius) * dim**0.5 / radius if radius else float("inf")

    def perturb(self, lm: LanguageModel, rows: Rows) -> AttackResult:
        """Attack a batch in which every row holds one prompt and one target.

        Only the perturbation gets a gradient: weights are frozen for the attack, no second-order terms, and the head
        runs on target positions only.

        Raises:
            InputError: a row with several responses, or a gradient that is not finite.
        """
        if len(rows.lengths) != len(rows.input_ids):
            raise InputError(f"{len(rows.input_ids)} rows and {len(rows.lengths)} targets: the attack takes one a row")
        radius = self.radius(lm)
        lr = self.step_size(lm, radius)
        mask = rows.prompt_mask[..., None].float()
        embeddings = lm.embed(rows.input_ids).detach()
        delta = torch.zeros(embeddings.shape, dtype=torch.float32, device=embeddings.device)
        best, best_loss = delta, torch.full((len(delta),), float("inf"), device=delta.device)
        moments = (torch.zeros_like(delta), torch.zeros_like(delta)) if self.optimizer != "sign" else None
        losses, affirmative = [], []
        with _frozen(lm):
            for step in range(self.steps + self.return_best):
                delta.requires_grad_(True)
                states = _states(lm, rows, embeddings + (delta * mask).to(embeddings.dtype))
                each = _target_loss(lm, rows, states)
                losses.append(float(each.detach().mean()))
                if self.count_affirmative:
                    affirmative.append(int(_decoded(lm, rows, states).sum()))
                if self.return_best:
                    better = each.detach() < best_loss
                    best_loss = torch.where(better, each.detach(), best_loss)
                    best = torch.where(better[:, None, None], delta.detach(), best)
                    if step == self.steps:
                        break
                (gradient,) = torch.autograd.grad(each.sum(), delta)
                if not bool(torch.isfinite(gradient).all()):
                    raise InputError(f"attack step {step + 1}: the gradient is not finite; use float32 or bfloat16")
                with torch.no_grad():
                    delta = project(delta - lr * self._direction(gradient, moments, step), radius)
        final = best if self.return_best else delta
        return AttackResult((final * mask).detach(), losses, affirmative, self.steps + self.return_best, self.steps)

    def _direction(self, gradient: Tensor, moments: tuple[Tensor, Tensor] | None, step: int) -> Tensor:
        """The update's direction: the sign, or Adam's or RMSprop's with their usual constants."""
        if moments is None:
            return gradient.sign()
        first, second = moments
        decay = (0.9, 0.999) if self.optimizer == "adam" else (0.0, 0.99)
        first.mul_(decay[0]).add_(gradient, alpha=1 - decay[0])
        second.mul_(decay[1]).addcmul_(gradient, gradient, value=1 - decay[1])
        if self.optimizer == "rmsprop":
            return gradient / (second.sqrt() + 1e-8)
        return (first / (1 - decay[0] ** (step + 1))) / ((second / (1 - decay[1] ** (step + 1))).sqrt() + 1e-8)


def project(delta: Float[Tensor, "rows time dim"], radius: float) -> Float[Tensor, "rows time dim"]:
    """Scale each token's perturbation that is longer than `radius` back to it (paper, projection step)."""
    norms = delta.norm(dim=-1, keepdim=True)
    return delta * (radius / norms.clamp(min=1e-12)).clamp(max=1.0)


def mean_embedding_norm(lm: LanguageModel) -> float:
    """Mean L2 norm of the embedding of each token id, as the model's own embedding module gives it."""
    size = lm.base.get_input_embeddings().weight.shape[0]
    total = 0.0
    with torch.no_grad():
        for start in range(0, size, 8192):
            ids = torch.arange(start, min(start + 8192, size), device=lm.device)
            total += float(lm.embed(ids).float().norm(dim=-1).sum())
    return total / size


def transfer(delta: Float[Tensor, "rows time dim"], source: Rows, target: Rows) -> Float[Tensor, "rows time2 dim"]:
    """Move a perturbation to other rows with the same prompts, by the order of prompt tokens and not by column.

    Raises:
        InputError: a prompt with a different number of tokens in both.
    """
    here, there = source.prompt_mask, target.prompt_mask
    if not torch.equal(here.sum(1), there.sum(1)):
        raise InputError("the prompts differ in their number of tokens: tokenise prompt and reply apart")
    moved = delta.new_zeros(*there.shape, delta.shape[-1])
    moved[there] = delta[here]
    return moved


class _frozen:  # noqa: N801 - used as a statement
    """Switch off weight gradients and dropout for the attack, and put back exactly what was on."""

    def __init__(self, lm: LanguageModel) -> None:
        self.model = lm.model
        self.trainable = [p for p in lm.model.parameters() if p.requires_grad]

    def __enter__(self) -> None:
        self.training = [m for m in self.model.modules() if m.training]
        self.model.eval()
        for parameter in self.trainable:
            parameter.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for module in self.training:
            module.training = True
        for parameter in self.trainable:
            parameter.requires_grad_(True)


def _states(lm: LanguageModel, rows: Rows, embeddings: Tensor) -> Tensor:
    return lm.row_states(rows, embeddings).flatten(0, 1)[rows.source]


def _target_loss(lm: LanguageModel, rows: Rows, states: Tensor) -> Float[Tensor, " rows"]:
    """Mean cross-entropy of each row's target."""
    return -per_response(token_logprobs(states, rows.targets, lm.head, lm.config), rows) / rows.lengths


@torch.no_grad()
def _decoded(lm: LanguageModel, rows: Rows, states: Tensor) -> Bool[Tensor, " rows"]:
    """Whether every token of a row's target is the arg-max."""
    best: Int[Tensor, " scored"] = full_logits(states.detach(), lm.head, lm.config).argmax(-1)
    wrong = per_response((best != rows.targets).float(), rows)
    return wrong == 0
