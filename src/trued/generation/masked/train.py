"""Training a small masked language model by the bound without time (arXiv 2409.02908, Section 3).

Knows windows of token ids and the training loop. Knows nothing of text or of what is sampled afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.generation.masked.loss import causal_nll, masked_nelbo
from trued.generation.masked.model import MaskedConfig, TinyMaskedLM
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
