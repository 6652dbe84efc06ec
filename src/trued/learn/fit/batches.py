"""Which rows make up which batch: a pure function of the seed and the epoch.

Knows the number of rows, their lengths and a budget. Knows nothing of what a row is.
Nothing of the plan has to be stored to continue a run: batch n is the same batch whenever it is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from trued.errors import InputError


def derived_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on all `parts`, so that neighbouring seeds and epochs share no stream."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True)
class Batches:
    """An endless sequence of batches of row numbers; each epoch holds every row exactly once.

    With `batch_size`, an epoch is a random order cut into pieces (the last one may be smaller).
    With `max_tokens`, rows of similar length share a batch, so that little is padded: rows are sorted from long to
    short, ties in random order, and cut greedily where rows x longest row would pass the budget; then the batches are
    shuffled. The cuts depend on the sorted lengths alone, so every epoch has the same number of batches.

    Args:
        rows: how many rows the data has.
        batch_size: rows in a batch; exactly one of this and `max_tokens` is given.
        max_tokens: the most tokens in a batch, padding included.
        lengths: tokens of each row; needed with `max_tokens`.
        seed: decides, with the number of the epoch, every order.

    Raises:
        InputError: no rows, no budget or two of them, as many lengths as rows not given, or a row above the budget.
    """

    rows: int
    batch_size: int | None = None
    max_tokens: int | None = None
    lengths: Sequence[int] | None = None
    seed: int = 0
    _recent: dict[int, list[list[int]]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise InputError("the data has no rows: training needs at least one")
        if (self.batch_size is None) == (self.max_tokens is None):
            raise InputError(
                f"batch_size is {self.batch_size} and max_tokens is {self.max_tokens}: give exactly one of them"
            )
        if self.lengths is not None and len(self.lengths) != self.rows:
            raise InputError(f"{len(self.lengths)} lengths for {self.rows} rows: give one length per row")
        if self.max_tokens is not None:
            if self.lengths is None:
                raise InputError("max_tokens needs the lengths of the rows: pass lengths, or use batch_size")
            longest = max(range(self.rows), key=self.lengths.__getitem__)
            if self.lengths[longest] > self.max_tokens:
                raise InputError(
                    f"row {longest} has {self.lengths[longest]} tokens, more than max_tokens = {self.max_tokens}: "
                    "raise max_tokens or shorten the row"
                )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.epoch(0))

    def __getitem__(self, n: int) -> list[int]:
        """Return the rows of batch `n`, counted from the start of the first epoch without end."""
        epoch, position = divmod(n, len(self))
        return self.epoch(epoch)[position]

    def epoch(self, epoch: int) -> list[list[int]]:
        """Return the batches of an epoch in their order."""
        if epoch not in self._recent:
            for old in [key for key in self._recent if key != 0]:
                del self._recent[old]
            self._recent[epoch] = self._plan(epoch)
        return self._recent[epoch]

    def _plan(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(derived_seed("order", self.seed, epoch))
        order = torch.randperm(self.rows, generator=generator).tolist()
        if self.batch_size is not None:
            return [order[start : start + self.batch_size] for start in range(0, self.rows, self.batch_size)]
        assert self.lengths is not None
        assert self.max_tokens is not None
        order.sort(key=self.lengths.__getitem__, reverse=True)
        batches: list[list[int]] = []
        widest = 0
        for row in order:
            if not batches or (len(batches[-1]) + 1) * widest > self.max_tokens:
                batches.append([])
                widest = self.lengths[row]
            batches[-1].append(row)
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
