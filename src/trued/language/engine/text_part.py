"""Which part of a model reads texts, and whether it can read texts of different lengths together.

Knows models of transformers by what they compute. Knows nothing of pooling or of what features are for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trued.errors import InputError

PROBES = ("a probe", "a probe that is several times as long as the other one, so that there is much padding beside it")
TOLERANCE = 1e-3
"""The difference, relative to the largest feature, below which two passes in float32 say the same."""

Layers = Callable[[list[list[int]]], tuple[Tensor, Sequence[Tensor]]]


def text_part(model: Any) -> Any:
    """Return the half for texts of a model of pictures and texts, and the encoder of an encoder-decoder."""
    part = getattr(model, "text_model", model)
    return part.get_encoder() if getattr(part.config, "is_encoder_decoder", False) else part


def embedding_rows(part: Any) -> int | None:
    """Return how many tokens a model has embeddings for; None where it embeds by other means, such as hashes."""
    try:
        return int(part.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError):
        return None


@torch.no_grad()
def padding_is_masked(layers: Layers, short: list[int], long: list[int], name: str) -> bool:
    """Whether a text's features stay what they are when a longer text and padding stand beside it.

    They do not where the mask is not used (FNet), or where neighbours or landmarks take padding in (MobileBERT,
    ConvBERT, Nystromformer).

    Args:
        layers: gives the mask of a padded batch of token ids, and every layer's states for it.
        short, long: the token ids of two texts, such as `PROBES`.
        name: for the error.

    Raises:
        InputError: the model gives no states of a text's tokens, or others each time.
    """
    states, again, padded = (_states(layers, rows, name) for rows in ([short], [short], [short, long]))
    if not _same(states, again):
        raise InputError(f"'{name}' gives other features each time that it reads a text: choose another encoder")
    return _same(states, padded)


def _states(layers: Layers, rows: list[list[int]], name: str) -> list[Tensor]:
    """The states of the first row's tokens in every layer."""
    try:
        mask, states = layers(rows)
    except Exception as error:  # what a model says of texts that it cannot read is its author's choice
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"'{name}' does not read texts ({reason}): choose another encoder") from error
    if not states or any(state.ndim != 3 or state.shape[:2] != mask.shape for state in states):
        raise InputError(f"'{name}' gives no states of a text's tokens in its layers: choose another encoder")
    return [state[0, : len(rows[0])] for state in states]


def _same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    def close(x: Tensor, y: Tensor) -> bool:
        tolerance = max(TOLERANCE, 8 * torch.finfo(y.dtype).eps)
        return float((x.float() - y.float()).abs().max()) <= tolerance * max(1.0, float(y.abs().max()))

    return all(close(x, y) for x, y in zip(ours, theirs, strict=True))
