"""What a suffix search found, and whether it holds up as text.

Knows the suffixes that a search kept and the prompts around them. Knows nothing of models or of how it searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trued.language.attack.contract import Cost
from trued.language.attack.gcg.candidates import Entry
from trued.language.attack.gcg.suffix import SlottedPrompt


@dataclass(frozen=True)
class GCGResult:
    """What a search found.

    Args:
        best_string: the suffix of least loss, to be put into the slot as text.
        best_loss: the loss of the message that is sent, with the suffix in it as text: where `stable`, the one that the
            search computed on token ids; summed over prompts and models where there are several.
        losses: loss of the suffix kept before the first step and after each one; `strings` are those suffixes.
        stable: whether the whole rendered prompt, with the suffix in it as text, encodes to the optimised ids; with
            several prompts, whether each does.
        exact: whether greedy decoding after that message gives exactly the target, in every prompt.
        cost: what it took.
    """

    best_string: str
    best_loss: float
    losses: list[float]
    strings: list[str]
    stable: bool
    exact: bool
    cost: Cost

    @classmethod
    def of(cls, prompts: Sequence[SlottedPrompt], held: Sequence[Entry], cost: Cost, *, stopped: bool) -> GCGResult:
        """Return the result of a search, its loss the one that the search computed.

        Args:
            prompts: where the suffix sits.
            held: the suffix kept before the first step and after each one.
            cost: what the search took.
            stopped: the search ended on a suffix that gives the target, which counts for more than the least loss.
        """
        best = len(held) - 1 if stopped else min(range(len(held)), key=lambda index: held[index].loss)
        strings = prompts[0].strings(torch.stack([entry.suffix for entry in held]))
        return cls(
            best_string=strings[best],
            best_loss=held[best].loss,
            losses=[entry.loss for entry in held],
            strings=strings,
            stable=all(bool(prompt.survivors(held[best].suffix[None], "prompt")) for prompt in prompts),
            exact=held[best].exact,
            cost=cost,
        )
