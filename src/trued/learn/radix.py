"""The exact k-th largest magnitude among any number of float32 values, in two passes and without joining them.

The bits of a float that is not negative, read as an integer, are ordered as the floats are. So the first pass counts
the upper 16 of the 31 bits below the sign, which finds the bin that holds the k-th largest; the second counts the
lower 15 bits within that bin, which finds the value itself. Memory is one block beside the values, whatever k is.

Knows tensors and counts. Knows nothing of what the values are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from trued.errors import InputError

LOWER = 15
BLOCK = 1 << 20
_MAGNITUDE = 0x7FFFFFFF
_INFINITE = 0x7F800000

Chunks = Callable[[], Iterable[Tensor]]


@dataclass(frozen=True)
class Threshold:
    """Where the largest k magnitudes end.

    Args:
        value: the k-th largest magnitude; 0 where fewer than k of the values are not zero.
        above: how many magnitudes are larger.
        ties: how many of those that are equal to it belong to the largest k: the first ones, by index.
    """

    value: float
    above: int
    ties: int

    @property
    def count(self) -> int:
        """How many values are chosen."""
        return self.above + self.ties


def kth_largest(chunks: Chunks, k: int) -> Threshold:
    """Return the k-th largest |x| over all chunks, exactly.

    Zeros are never chosen: they stand for values that cannot be. If fewer than k values are not zero, all of those are.

    Args:
        chunks: called once a pass; gives the same float32 tensors, of any shape, in the same order each time.
        k: how many values are wanted.

    Raises:
        InputError: k is below 1, a tensor is not float32, or a value is not finite.
    """
    if k < 1:
        raise InputError(f"k is {k}: at least one value has to be chosen")
    upper = torch.zeros(1 << (31 - LOWER), dtype=torch.int64)
    for bits in _blocks(chunks):
        upper += torch.bincount(bits >> LOWER, minlength=len(upper)).cpu()
    if int(upper[_INFINITE >> LOWER :].sum()):
        raise InputError("a value is infinite or not a number: the loss that these gradients belong to has overflowed")
    digit, before = _from_above(upper, k)
    lower = torch.zeros(1 << LOWER, dtype=torch.int64)
    for bits in _blocks(chunks):
        inside = bits[(bits >> LOWER) == digit] & ((1 << LOWER) - 1)
        lower += torch.bincount(inside, minlength=len(lower)).cpu()
    last, within = _from_above(lower, k - before)
    pattern = (digit << LOWER) | last
    if pattern == 0:
        return Threshold(0.0, before + within, 0)
    value = torch.tensor([pattern], dtype=torch.int32).view(torch.float32)
    return Threshold(float(value), before + within, k - before - within)


class TopK:
    """Picks the largest k magnitudes chunk by chunk, in the order in which `kth_largest` saw them; ties by index."""

    def __init__(self, threshold: Threshold) -> None:
        self.threshold = threshold
        self._left = threshold.ties

    def mask(self, values: Tensor) -> Bool[Tensor, "*shape"]:
        """Return which values of the next chunk are chosen."""
        size = values.abs()
        largest = size > self.threshold.value
        if self._left:
            equal = (size == self.threshold.value).flatten().nonzero()[: self._left, 0]
            largest.view(-1)[equal] = True
            self._left -= len(equal)
        return largest

    def indices(self, values: Tensor) -> Int[Tensor, " chosen"]:
        """Return the flat indices, ascending, of the values of the next chunk that are chosen."""
        return self.mask(values).flatten().nonzero()[:, 0]


def _blocks(chunks: Chunks) -> Iterator[Int[Tensor, " block"]]:
    """Yield the bits below the sign, a block at a time, so that temporaries stay in a cache and never add up."""
    for chunk in chunks():
        if chunk.dtype is not torch.float32:
            raise InputError(f"the values are {chunk.dtype}: give float32, whose ties are rare")
        for block in chunk.detach().flatten().view(torch.int32).split(BLOCK):
            yield block & _MAGNITUDE


def _from_above(counts: Int[Tensor, " bins"], k: int) -> tuple[int, int]:
    """Return the bin that holds the k-th item counted from the highest bin, and the number of items in bins above it.

    With fewer than k items it is bin 0.
    """
    reached = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(reached, k))
    if place >= len(counts):
        place = len(counts) - 1
    before = int(reached[place - 1]) if place else 0
    return len(counts) - 1 - place, before
