"""Training a small masked language model by the bound without time (arXiv 2409.02908, Section 3).

Knows windows of token ids and the training loop. Knows nothing of text or of what is sampled afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.loss import causal_nll, masked_nelbo, mdm_nelbo
from trued.generation.masked.model import MaskedConfig, TinyMaskedLM
from trued.generation.masked.schedule import MaskSchedule
from trued.learn.fit.loop import FitConfig, FitResult, StepLog, fit


def train_masked_lm(
    windows: Int[Tensor, "windows length"],
    config: MaskedConfig,
    fit_config: FitConfig,
    *,
    validate: Callable[[TinyMaskedLM, int], float] | None = None,
    report: Callable[[StepLog], None] | None = None,
    progress: bool = False,
) -> tuple[TinyMaskedLM, FitResult]:
    """Train on windows of text; the seed of `fit_config` decides the initial weights, the order and the masks.

    Args:
        windows: whole sequences, without MASK.
        config: the model's shape; with a running clock it receives the time at which that many tokens are masked on
            average, and a causal one learns every token from those before it.
        fit_config: the training.
        validate: takes the model and the number of steps; higher is better.
        report: called after each step.
        progress: show a bar.

    Raises:
        InputError: windows longer than the model's sequences, ids outside its vocabulary, or what `fit` refuses.
    """
    if windows.shape[1] > config.length or int(windows.max()) >= config.vocab - 1:
        raise InputError(
            f"windows of {windows.shape[1]} tokens with ids up to {int(windows.max())}: this model takes "
            f"{config.length} tokens and ids below MASK, {config.vocab - 1}"
        )
    model = TinyMaskedLM(config, seed=fit_config.seed)

    def loss(module: torch.nn.Module, batch: Tensor) -> dict[str, Tensor | int]:
        assert isinstance(module, TinyMaskedLM)
        nats = causal_nll(module, batch) if config.causal else masked_nelbo(module, batch)
        return {"loss": nats.mean() / batch.shape[1], "tokens": batch.numel()}

    checked = None if validate is None else lambda step: validate(model, step)
    rows = list(windows)
    result = fit(model, loss, rows, fit_config, collate=torch.stack, validate=checked, report=report, progress=progress)
    return model.eval(), result


@torch.no_grad()
def bound_per_token(
    estimate: Callable[[Tensor], Float[Tensor, " batch"]], ids: Int[Tensor, "sequences length"], *, repeats: int
) -> Float[Tensor, " sequences"]:
    """Average `repeats` estimates of the bound on each sequence, in nats a token.

    Copies of a sequence share a batch, so that what the estimate stratifies over a batch is stratified for it.

    Args:
        estimate: ids to nats a sequence, such as `masked_nelbo` with a model.
    """
    return torch.stack([estimate(row.expand(repeats, -1)).double().mean() for row in ids]) / ids.shape[1]


@torch.no_grad()
def nats_per_token(
    model: TinyMaskedLM, ids: Int[Tensor, "sequences length"], *, repeats: int, seed: int = 0,
    schedule: MaskSchedule | None = None, weight: MaskSchedule | None = None,
) -> Float[Tensor, " sequences"]:  # fmt: skip
    """Return the bound of a masked model, or the surprisal of a causal one, for each sequence.

    Args:
        model: of either kind.
        ids: whole sequences, without MASK.
        repeats: estimates that the bound is averaged over.
        seed: of the masks: models that are compared see the same ones.
        schedule: bound over times of this schedule; over numbers of masked tokens if None.
        weight: as `mdm_nelbo`.
    """
    if model.config.causal:
        return causal_nll(model, ids) / ids.shape[1]
    generator = torch.Generator().manual_seed(seed)

    def estimate(rows: Tensor) -> Tensor:
        if schedule is None:
            return masked_nelbo(model, rows, generator=generator)
        return mdm_nelbo(model, rows, schedule=schedule, weight=weight, generator=generator)

    return bound_per_token(estimate, ids, repeats=repeats)


def train_watched(
    windows: Int[Tensor, "windows length"], unseen: Int[Tensor, "unseen length"], config: MaskedConfig,
    fit_config: FitConfig, *, repeats: int,
) -> dict[str, Any]:  # fmt: skip
    """Train a network, and return what a cache can keep of it.

    Args:
        windows: to train on.
        unseen: other windows.
        config: the network's shape.
        fit_config: the training.
        repeats: as `nats_per_token`.

    Returns:
        The weights ("state"), the "losses" of all steps, and "unseen": `nats_per_token` of the unseen windows at each
        validation, the last one after training.
    """
    watched: list[list[float]] = []

    def watch(model: TinyMaskedLM, step: int) -> float:
        watched.append(nats_per_token(model, unseen, repeats=repeats, seed=fit_config.seed).tolist())
        return 0.0

    model, result = train_masked_lm(windows, config, fit_config, validate=watch)
    losses = [step["loss"] for step in result.history]
    return {"state": dict(model.state_dict()), "losses": losses, "unseen": watched}


def nats_by_frequency(
    train: Int[Tensor, "windows length"], ids: Int[Tensor, "sequences length"], vocab: int
) -> Float[Tensor, " sequences"]:
    """Return nats a token by how frequent tokens are in training, one added to each count: what takes no context."""
    counts = torch.bincount(train.flatten(), minlength=vocab).double() + 1
    return -(counts / counts.sum()).log()[ids].mean(1)
