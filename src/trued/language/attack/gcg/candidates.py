"""The moves of a greedy coordinate search over token ids: which tokens to try, which candidates, which to keep.

Knows token ids, losses and random numbers. Knows nothing of models or text.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


def steepest_tokens(
    gradient: Float[Tensor, "n dim"],
    embeddings: Float[Tensor, "allowed dim"],
    allowed: Int[Tensor, " allowed"],
    k: int,
) -> Int[Tensor, "n k"]:
    """Return per position the `k` allowed tokens whose one-hot entries have the most negative gradient.

    The one-hot gradient is ``gradient @ E^T``; the rows of E that may not be used are never multiplied.
    """
    slopes = gradient.to(embeddings.dtype) @ embeddings.T
    return allowed[slopes.float().topk(k, dim=1, largest=False).indices.cpu()]


def draw_candidates(
    suffix: Int[Tensor, " n"],
    tokens: Int[Tensor, "n k"],
    width: int,
    n_replace: int,
    generator: torch.Generator,
) -> Int[Tensor, "candidates n"]:
    """Return at most `width` different candidates; each changes `n_replace` distinct positions of `suffix`.

    Positions are drawn uniformly, and for each of them a token uniformly from its row of `tokens`.
    """
    keys = torch.rand(width, len(suffix), generator=generator, device=generator.device)
    positions = keys.argsort(dim=1)[:, :n_replace].cpu()
    picks = torch.randint(tokens.shape[1], (width, n_replace), generator=generator, device=generator.device).cpu()
    candidates = suffix.expand(width, -1).scatter(1, positions, tokens[positions, picks])
    return torch.unique(candidates, dim=0)


@dataclass(frozen=True)
class Entry:
    """A suffix, its loss, and whether greedy decoding after it gives exactly the target."""

    loss: float
    suffix: Int[Tensor, " n"]
    exact: bool


class Buffer:
    """The suffixes that the search may go on from.

    Args:
        size: how many of the best to keep; 0 keeps only the last one offered, whatever its loss.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[Entry] = []

    def offer(self, entry: Entry) -> None:
        """Add an entry; the worst one leaves a buffer that is full."""
        if self.size == 0:
            self.entries = [entry]
        elif not any(torch.equal(entry.suffix, held.suffix) for held in self.entries):
            self.entries = sorted([*self.entries, entry], key=lambda held: held.loss)[: self.size]

    @property
    def best(self) -> Entry:
        """The entry of least loss."""
        return self.entries[0]
