"""A source of short sequences whose every conditional is known: a sampler's draws can be compared with the truth.

A Markov chain with a random transition matrix. Given any tokens of a sequence, forward and backward messages give the
exact law of each other one, so the source is its own perfect masked model, and its law over all sequences is a table.

Knows a chain of tokens. Knows nothing of samplers.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError


class MarkovSource:
    """A stationary chain of `length` tokens over `symbols` symbols; MASK is the id after the last symbol.

    Args:
        length, symbols: the table has symbols^length entries.
        sharpness: of the rows of the transition matrix, softmax(sharpness * normal): 0 is independent and uniform.
        seed: of the matrix.

    Raises:
        InputError: a table of more than ten million entries, or nothing to draw.
    """

    timed = False
    causal = False

    def __init__(self, length: int = 8, symbols: int = 4, *, sharpness: float = 2.0, seed: int = 0) -> None:
        if length < 1 or symbols < 2 or symbols**length > 10_000_000:
            raise InputError(
                f"{symbols} symbols and length {length}: at least 2 and 1, and a table of 10 million at most"
            )
        self.length, self.symbols = length, symbols
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(symbols, symbols, generator=generator, dtype=torch.float64)
        self.transition = (sharpness * normal).softmax(-1)
        initial = torch.full((symbols,), 1 / symbols, dtype=torch.float64)
        for _ in range(1000):
            initial = initial @ self.transition
        self.initial = initial / initial.sum()

    @property
    def mask_id(self) -> int:
        return self.symbols

    @property
    def vocab(self) -> int:
        return self.symbols + 1

    def __call__(
        self,
        ids: Int[Tensor, "batch length"],
        where: Bool[Tensor, "batch length"],
        time: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "chosen vocab"]:
        """Exact log-probabilities of the masked tokens given all others (MASK itself has none)."""
        evidence = torch.ones(*ids.shape, self.symbols, dtype=torch.float64)
        known = ids != self.mask_id
        evidence[known] = torch.nn.functional.one_hot(ids[known], self.symbols).double()
        forward, backward = [self.initial.expand(len(ids), -1)], [torch.ones(len(ids), self.symbols).double()]
        for i in range(self.length - 1):
            ahead = (forward[-1] * evidence[:, i]) @ self.transition
            forward.append(ahead / ahead.sum(-1, keepdim=True))
            back = (backward[-1] * evidence[:, self.length - 1 - i]) @ self.transition.T
            backward.append(back / back.sum(-1, keepdim=True))
        joint = torch.stack(forward, 1) * torch.stack(backward[::-1], 1)
        logs = (joint / joint.sum(-1, keepdim=True)).log()[where]
        return torch.cat([logs, torch.full((len(logs), 1), -torch.inf, dtype=torch.float64)], -1)

    def law(self) -> Float[Tensor, " sequences"]:
        """The probability of every sequence, in the order of `number`."""
        law = self.initial
        for _ in range(self.length - 1):
            law = (law.view(-1, self.symbols, 1) * self.transition).flatten()
        return law

    def number(self, ids: Int[Tensor, "batch length"]) -> Int[Tensor, " batch"]:
        """Each sequence as a number in base `symbols`."""
        powers = self.symbols ** torch.arange(self.length - 1, -1, -1)
        return (ids * powers).sum(-1)

    def total_variation(self, ids: Int[Tensor, "batch length"]) -> float:
        """Half the L1 distance of the sequences' frequencies from the law; a finite sample keeps it above 0."""
        law = self.law()
        seen = torch.bincount(self.number(ids), minlength=len(law)).double() / len(ids)
        return 0.5 * float((seen - law).abs().sum())
