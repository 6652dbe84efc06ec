"""Forward passes over rows of prompts and responses, in the ways in which a family of models allows it.

`MASK` and `POSITIONS` run every row as it is: one additive mask for all layers, or the masks that transformers builds
for each kind of layer, both on positions that restart. `ALONE` runs every response after its prompt as a sequence of
its own, sequences of one length together: no padding, no sibling, no position that restarts, so it holds for every
causal model, whatever state its layers keep.

Knows decoders, embeddings and `Rows`. Knows nothing of text, or of which way holds for a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trued.errors import InputError
from trued.language.engine.masks import seeing
from trued.language.engine.scoring import Rows, block_mask, visible
from trued.learn.trace import output_of

Way = Literal["mask", "positions", "alone"]
MASK: Way = "mask"
POSITIONS: Way = "positions"
ALONE: Way = "alone"


class Passes:
    """Runs a decoder on token ids, with other embeddings in their place if those are given.

    Args:
        backbone: the decoder.
        embedder: its input embeddings.
        direct: whether the decoder computes the same from embeddings as from ids. Otherwise (a family may use the ids
            once more, further up) it gets the ids, and the embeddings replace what its embedding module puts out.
        until: a part of the decoder whose output is returned instead of the last hidden states.
    """

    def __init__(self, backbone: Any, embedder: nn.Module, *, direct: bool, until: nn.Module | None = None) -> None:
        self.backbone, self.embedder, self.direct, self.until = backbone, embedder, direct, until

    def __call__(
        self, ids: Int[Tensor, "rows time"], embeddings: Float[Tensor, "rows time dim"] | None = None, **options: Any
    ) -> Float[Tensor, "rows time dim"]:
        options.setdefault("use_cache", False)
        inputs: dict[str, Any] = {"input_ids": ids}
        replacement = nullcontext()
        if embeddings is not None and self.direct:
            inputs = {"inputs_embeds": embeddings}
        elif embeddings is not None:
            replacement = _replaced(self.embedder, embeddings)
        with replacement:
            if self.until is not None:
                return output_of(self.until, lambda: self.backbone(**inputs, **options))
            return self.backbone(**inputs, **options).last_hidden_state


@contextmanager
def _replaced(embedder: nn.Module, embeddings: Tensor) -> Iterator[None]:
    calls = []

    def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        calls.append(output.shape == embeddings.shape)
        return embeddings if calls[-1] else None

    handle = embedder.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
    if not any(calls):
        raise InputError("this family does not look its embeddings up in one module: embeddings cannot be changed")


def row_states(
    passes: Passes, rows: Rows, embeddings: Float[Tensor, "rows time dim"] | None, way: Way
) -> Float[Tensor, "rows time dim"]:
    """Hidden states of every token of `rows`, in its place; what stands on padding means nothing.

    Args:
        passes: runs the decoder.
        rows: prompts and responses.
        embeddings: of all tokens of the rows; None for those of their ids.
        way: how to run them.
    """
    if way == ALONE:
        return _alone(passes, rows, embeddings)
    if embeddings is None and passes.direct:
        embeddings = passes.embedder(rows.input_ids)
    if way == MASK:
        dtype = passes.embedder.weight.dtype if embeddings is None else embeddings.dtype
        mask: Any = block_mask(rows.segments, dtype)  # pyright: ignore
        return passes(rows.input_ids, embeddings, attention_mask=mask, position_ids=rows.positions)
    with seeing(visible(rows.segments), rows.positions, rows.positions):
        # A 2D mask without padding: given none, transformers would take restarting positions for unrelated sequences.
        whole = torch.ones_like(rows.input_ids)
        return passes(rows.input_ids, embeddings, attention_mask=whole, position_ids=rows.positions)


def _alone(passes: Passes, rows: Rows, embeddings: Tensor | None) -> Tensor:
    width = rows.input_ids.shape[1]
    sequences = _sequences(rows)
    by_length: dict[int, list[Tensor]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence), []).append(sequence)
    flat_ids = rows.input_ids.flatten()
    flat_embeddings = None if embeddings is None else embeddings.flatten(0, 1)
    # Where the state of a place stands among those computed; a prompt's is the same before each of its responses.
    where = torch.zeros_like(flat_ids)
    parts, done = [], 0
    for length, group in by_length.items():
        for places in torch.stack(group).split(max(1, rows.input_ids.numel() // length)):
            given = None if flat_embeddings is None else flat_embeddings[places]
            parts.append(passes(flat_ids[places], given).flatten(0, 1))
            where[places.flatten()] = torch.arange(done, done + places.numel(), device=where.device)
            done += places.numel()
    return torch.cat(parts)[where].unflatten(0, (-1, width))


def _sequences(rows: Rows) -> list[Int[Tensor, " time"]]:
    """Flat places of each response's prompt and its own tokens, in the order of the responses."""
    width = rows.input_ids.shape[1]
    sequences = []
    for row, segments in enumerate(rows.segments):
        for number in range(1, int(segments.max()) + 1):
            own = (segments == 0) | (segments == number)
            sequences.append(own.nonzero()[:, 0] + row * width)
    return sequences
