"""Packing: several examples in one row, none of them seeing another.

Rows of unequal examples are mostly padding. Packing fills each row with whole examples; position ids restart at every
example and a block-diagonal mask keeps attention inside it, so that losses and gradients are those of the examples
alone (Baichuan Alignment, arXiv 2410.14940, section on supervised fine-tuning).

Knows token ids, masks and per-token losses. Knows nothing of models, text or optimisers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError

IGNORE = -100  # label of a token that is not learned, as everywhere in the ecosystem
PADDING = -1  # segment id of padding


@dataclass(frozen=True)
class PackedBatch:
    """Examples laid out in rows.

    Args:
        input_ids: token ids; the padding token after the last example of a row.
        position_ids: position of every token within its own example, from 0.
        segment_ids: index of the example that a token belongs to; -1 on padding.
        labels: the token itself where it is to be predicted, else -100; -100 on every example's first token, which
            nothing of that example can predict. Not shifted: the label of a token stands at that token.
        dropped: indices of examples that were longer than a row.
    """

    input_ids: Int[Tensor, "rows time"]
    position_ids: Int[Tensor, "rows time"]
    segment_ids: Int[Tensor, "rows time"]
    labels: Int[Tensor, "rows time"]
    dropped: tuple[int, ...] = ()

    def attention_mask(self) -> Bool[Tensor, "rows 1 time time"]:
        """The mask to give a model beside `position_ids`: see `block_causal_mask`."""
        return block_causal_mask(self.segment_ids)

    def utilisation(self) -> float:
        """Share of positions that hold a token and not padding."""
        return (self.segment_ids != PADDING).float().mean().item()


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Assign items to bins of a capacity, longest first, each to the first bin with room (first-fit decreasing).

    Uses at most 11/9 of the fewest possible bins, plus 6/9 (Dosa 2007). A tree of the room left in each bin finds the
    first fit in O(log n), so packing n items takes O(n log n).

    Args:
        lengths: size of every item, at least 1.
        capacity: size of a bin.

    Returns:
        The items of every bin, by index, in the order of their placement.

    Raises:
        InputError: an item that is empty or larger than a bin.
    """
    if capacity < 1:
        raise InputError(f"capacity {capacity}: a row holds at least one token")
    empty = [i for i, length in enumerate(lengths) if length < 1]
    if empty:
        raise InputError(f"{len(empty)} of {len(lengths)} examples are empty, first number {empty[0]}: drop them")
    long = _longer(lengths, capacity)
    if long:
        raise InputError(
            f"{len(long)} of {len(lengths)} examples are longer than the capacity {capacity}, the longest has "
            f"{max(lengths)} tokens: raise the capacity, shorten or drop them"
        )
    leaves = 1 << max(0, len(lengths) - 1).bit_length()
    room = [capacity] * (2 * leaves)  # room[1] is the root; leaf leaves + b is bin b
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        node = 1
        while node < leaves:
            node = 2 * node if room[2 * node] >= lengths[item] else 2 * node + 1
        if node - leaves == len(bins):
            bins.append([])
        bins[node - leaves].append(item)
        room[node] -= lengths[item]
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
    return bins


def packed(
    examples: Sequence[Mapping[str, Sequence[int]]],
    capacity: int,
    *,
    pad: int,
    too_long: Literal["error", "drop"] = "error",
) -> PackedBatch:
    """Pack tokenised examples into as few rows as first-fit decreasing finds.

    Args:
        examples: each has "input_ids" and, unless every token is to be learned, "labels" of the same length
            (-100 where nothing is learned).
        capacity: the most tokens in a row; rows are as wide as the fullest needs.
        pad: token id of padding.
        too_long: what to do with examples longer than `capacity`; dropping warns and says how many.

    Raises:
        InputError: no examples, one without ids or without a label to learn, ids and labels of unequal length, or
            examples longer than a row where these are an error.
    """
    columns = [_columns(number, example) for number, example in enumerate(examples)]
    dropped: list[int] = []
    if too_long == "drop":
        dropped = _longer([len(ids) for ids, _ in columns], capacity)
        if dropped:
            warnings.warn(
                f"{len(dropped)} of {len(columns)} examples are longer than {capacity} tokens and were dropped",
                stacklevel=2,
            )
    elif too_long != "error":
        raise InputError(f"too_long {too_long!r}: 'error' or 'drop'")
    fitting = sorted(set(range(len(columns))) - set(dropped))
    if not fitting:
        raise InputError(f"no example is left to pack: {len(columns)} were given and {len(dropped)} dropped")

    bins = [[fitting[i] for i in row] for row in pack([len(columns[i][0]) for i in fitting], capacity)]
    width = max(sum(len(columns[i][0]) for i in row) for row in bins)
    shape = len(bins), width
    input_ids, position_ids = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long)
    segment_ids, labels = torch.full(shape, PADDING), torch.full(shape, IGNORE)
    for row, members in enumerate(bins):
        start = 0
        for member in members:
            ids, targets = columns[member]
            span = slice(start, start + len(ids))
            input_ids[row, span] = ids
            position_ids[row, span] = torch.arange(len(ids))
            segment_ids[row, span] = member
            labels[row, span] = targets
            start += len(ids)
    return PackedBatch(input_ids, position_ids, segment_ids, labels, tuple(dropped))


def block_causal_mask(segment_ids: Int[Tensor, "rows time"]) -> Bool[Tensor, "rows 1 time time"]:
    """True where a token may look: at itself and at what precedes it in its own example.

    Padding looks at padding, so that no row of the softmax is empty. The mask takes rows x time^2 bytes; a sliding
    window narrower than an example has to be applied on top.
    """
    time = segment_ids.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool, device=segment_ids.device).tril()
    return ((segment_ids[:, :, None] == segment_ids[:, None, :]) & causal)[:, None]


def token_losses(
    logits: Float[Tensor, "rows time vocab"], labels: Int[Tensor, "rows time"]
) -> Float[Tensor, "rows time"]:
    """Cross-entropy of every labelled token given the position before it, in nats; zero where nothing is learned.

    The loss of a token stands at that token, so the first column is zero.
    """
    losses = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE, reduction="none"
    )
    return F.pad(losses.view(len(labels), -1), (1, 0))


def sft_loss(
    losses: Float[Tensor, "rows time"],
    segment_ids: Int[Tensor, "rows time"],
    mask: Bool[Tensor, "rows time"],
    *,
    norm: Literal["token", "sample"] = "token",
) -> Float[Tensor, ""]:
    """Average per-token losses of packed rows.

    "token" weighs every learned token alike: the mean over all of them. "sample" weighs every example alike: the mean
    over examples of their own means, which is what unpacked training with one example a step averages to.

    Args:
        losses: loss of every token, standing at that token (negated log-probabilities, or `token_losses`).
        segment_ids: which example a token belongs to; -1 on padding.
        mask: True on tokens to learn. Padding and every example's first token are left out in any case.
        norm: what is weighed alike.

    Raises:
        InputError: nothing to learn, or an unknown norm.
    """
    starts = F.pad(segment_ids[:, 1:] != segment_ids[:, :-1], (1, 0), value=True)
    learned = mask & ~starts & (segment_ids != PADDING)
    learned_losses = losses[learned]
    if not len(learned_losses):
        raise InputError("no token of the batch is to be learned: every label is masked")
    if norm == "token":
        return learned_losses.mean()
    if norm == "sample":
        names, owner = segment_ids[learned].unique(return_inverse=True)
        sums = learned_losses.new_zeros(len(names)).index_add(0, owner, learned_losses)
        return (sums / torch.bincount(owner)).mean()
    raise InputError(f"unknown norm {norm!r}: 'token' or 'sample'")


def _columns(number: int, example: Mapping[str, Sequence[int]]) -> tuple[Int[Tensor, " time"], Int[Tensor, " time"]]:
    """Ids and labels of one example, the first label masked."""
    ids = torch.as_tensor(example["input_ids"], dtype=torch.long)
    labels = torch.as_tensor(example.get("labels", ids), dtype=torch.long).clone()
    if labels.shape != ids.shape:
        raise InputError(f"example {number} has {len(ids)} input_ids and {len(labels)} labels: one label a token")
    labels[:1] = IGNORE
    if not (labels != IGNORE).any():
        raise InputError(f"example {number} has no label to learn after its first token: drop it")
    return ids, labels


def _longer(lengths: Sequence[int], capacity: int) -> list[int]:
    return [i for i, length in enumerate(lengths) if length > capacity]
