"""The gradient of one step: a mean over everything in the step's batches, however they are cut.

If each loss is a mean over `weight` units, the gradient is sum(weight * gradient) / sum(weight) over the accumulated
batches of all processes: the gradient that one large batch would have. A unit is a row, unless the loss says otherwise.

Knows batches, a loss and processes. Knows nothing of optimisers, steps or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn

from trued.errors import InputError

RESERVED = frozenset({"step", "lr", "grad_norm", "seconds", "validation"})


@dataclass(frozen=True)
class Piece:
    """A batch of a step, with the number of its rows and of its tokens (None: the batch or the loss knows them)."""

    batch: Any
    rows: int
    tokens: int | None


def mean_gradient(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Mapping[str, Any]],
    pieces: Iterable[Piece],
    params: Mapping[str, nn.Parameter],
    *,
    pieces_of_all: int,
    accelerator: Accelerator,
    device: torch.device,
    bf16: bool = False,
) -> tuple[dict[str, float], int]:
    """Leave the gradient of the mean loss over `pieces` in `.grad`, which is empty before.

    Args:
        model: what the loss is computed with.
        loss: returns "loss", optionally "weight" and "tokens", and other scalars.
        pieces: the batches of this process; each is made only when it is its turn.
        params: the trainable parameters.
        pieces_of_all: how many batches all processes have together.
        accelerator: sums over the processes.
        device: where batches go.
        bf16: compute the loss under autocast.

    Returns:
        The mean of each scalar, weighted as the gradient is, and the number of tokens.

    Raises:
        InputError: "loss" is missing, no scalar or without a gradient, a name is reserved, or no weight is positive.
    """
    # Sums stay on the device, so that it is waited for once a step and not once a batch.
    kind = torch.float32 if device.type == "mps" else torch.float64
    sums: dict[str, Tensor] = {}
    for piece in pieces:
        batch = send_to_device(piece.batch, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            out = dict(loss(model, batch))
        objective = _objective(out)
        weight = out.pop("weight", piece.rows)
        tokens = out.pop("tokens", getattr(batch, "tokens", piece.tokens))
        # A lone batch needs no weighing: its gradient stays what the loss gives, to the last bit.
        (objective if pieces_of_all == 1 else objective * weight).backward()
        terms = {name: torch.as_tensor(value, dtype=kind, device=device).detach() for name, value in out.items()}
        scale = torch.as_tensor(weight, dtype=kind, device=device).detach()
        terms = {name: term * scale for name, term in terms.items()}
        terms |= {"weight": scale, "tokens": torch.as_tensor(tokens or 0, dtype=kind, device=device)}
        for name, term in terms.items():
            sums[name] = sums[name] + term if name in sums else term
    names = sorted(sums)
    totals = torch.stack([sums[name] for name in names])
    if accelerator.num_processes > 1:
        totals = _reduced(accelerator, totals)
        for param in params.values():
            param.grad = _reduced(accelerator, torch.zeros_like(param) if param.grad is None else param.grad)
    values = dict(zip(names, totals.tolist(), strict=True))
    tokens, total = int(values.pop("tokens")), values.pop("weight")
    if not total > 0:
        raise InputError(f"the loss returned weights that sum to {total:g}: a weight is the number of units averaged")
    if pieces_of_all > 1:
        for param in params.values():
            if param.grad is not None:
                param.grad.div_(total)
    return {name: value / total for name, value in values.items()}, tokens


def _objective(out: Mapping[str, Any]) -> Tensor:
    objective: Any = out.get("loss")
    if not isinstance(objective, Tensor):
        raise InputError(f"the loss returned the names {', '.join(out) or '(none)'}: a tensor named 'loss' is needed")
    if objective.ndim != 0:
        raise InputError(
            f"'loss' has shape {list(objective.shape)}: it must be a scalar, such as the mean over the rows"
        )
    if not objective.requires_grad:
        raise InputError("the loss depends on no trainable parameter: was it computed under no_grad, or detached?")
    if taken := RESERVED & out.keys():
        raise InputError(f"the loss returned {', '.join(sorted(taken))}: fit logs that itself, choose another name")
    return objective


def _reduced(accelerator: Accelerator, tensor: Tensor) -> Tensor:
    return accelerator.reduce(tensor, "sum")  # type: ignore[return-value]
