"""One suffix for several prompts and models: the sum of their losses, and the gradient of the sum (arXiv 2307.15043).

Several prompts of one model make a universal suffix (the paper's Algorithm 2); several models, an ensemble whose suffix
may transfer to others. A suffix is a row of token ids, so all models have to read the same ids as the same text.

Knows suffix losses. Knows nothing of chats or search.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trued.errors import InputError
from trued.language.attack.gcg.loss import Encoded, SuffixLoss
from trued.language.engine.model import LanguageModel


class SummedLoss:
    """The sum of suffix losses over prompts and models; greedy decoding is exact where it is for all of them.

    Args:
        losses: per model, the losses of its prompts.
    """

    def __init__(self, losses: Sequence[Sequence[SuffixLoss]]) -> None:
        self.losses = [list(group) for group in losses]
        self.models = [group[0].model for group in self.losses]
        # Within one model slopes are comparable as they are; with none to compare with, the norms are not needed.
        self._grams = [_gram(model) for model in self.models] if len(self.models) > 1 else None

    @property
    def forwards(self) -> int:
        """Sequences through a forward pass, of whichever model."""
        return sum(loss.forwards for group in self.losses for loss in group)

    @property
    def backwards(self) -> int:
        """Sequences through a backward pass, of whichever model."""
        return sum(loss.backwards for group in self.losses for loss in group)

    def __call__(
        self, suffixes: Int[Tensor, "rows n"], base: Sequence[Sequence[Encoded | None]] | None = None
    ) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
        """Return every suffix's summed loss, and whether greedy decoding after it gives each target exactly.

        Args:
            suffixes: token ids.
            base: what `gradient` or `encode` returned for the suffix from which these were made.
        """
        total, all_exact = torch.zeros(len(suffixes)), torch.ones(len(suffixes), dtype=torch.bool)
        for number, group in enumerate(self.losses):
            for which, loss in enumerate(group):
                losses, exact = loss(suffixes, None if base is None else base[number][which])
                total, all_exact = total + losses, all_exact & exact
        return total, all_exact

    def gradient(self, suffix: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n dims"], list[list[Encoded | None]]]:
        """Return the gradient in the embeddings of all models, side by side, and the encodings for later calls.

        Its product with the `embed` of tokens is the sum of the models' one-hot gradients. Each model's are scaled to
        unit norm per position first, as in the paper's Algorithm 2: what a step of one model's loss is worth in
        another's is unknown. Over the prompts of one model they are summed as they are.
        """
        parts, bases = [], []
        for number, group in enumerate(self.losses):
            results = [loss.gradient(suffix) for loss in group]
            gradient = torch.stack([slope for slope, _ in results]).sum(0)
            if self._grams is not None:
                gradient = gradient.float()
                square = (gradient @ self._grams[number] * gradient).sum(1, keepdim=True)
                gradient = gradient / square.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
            parts.append(gradient.to(self.models[0].device))
            bases.append([base for _, base in results])
        return torch.cat(parts, 1), bases

    def encode(self, suffix: Int[Tensor, " n"]) -> list[list[Encoded | None]]:
        """Return the encodings of `suffix` for later calls."""
        return [[loss.encode(suffix) for loss in group] for group in self.losses]

    def embed(self, ids: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dims"]:
        """Return the tokens' embeddings of all models, side by side."""
        parts = [model.embed(ids.to(model.device)).to(self.models[0].device) for model in self.models]
        return torch.cat(parts, 1)


@torch.no_grad()
def _gram(model: LanguageModel) -> Float[Tensor, "dim dim"]:
    """E^T E, with which the norm of a one-hot gradient g E^T is sqrt(g E^T E g^T), without [n, vocabulary] numbers."""
    rows = model.base.get_input_embeddings().weight.shape[0]
    gram = 0.0
    for ids in torch.arange(rows, device=model.device).split(1 << 14):
        table = model.embed(ids).float()
        gram = gram + table.T @ table
    assert isinstance(gram, Tensor)
    return gram


def require_one_vocabulary(models: Sequence[LanguageModel], role: str = "an ensemble") -> None:
    """Raise `InputError` unless all models give the same ids to the same tokens.

    Args:
        models: the models that read one suffix.
        role: what they are together, for the message.
    """
    first, *others = models
    vocabulary = first.tokenizer.get_vocab()
    for other in others:
        own = other.tokenizer.get_vocab()
        if own != vocabulary:
            differing = len(set(vocabulary.items()) ^ set(own.items()))
            raise InputError(
                f"the vocabularies of {first.name} ({len(vocabulary)} tokens) and {other.name} ({len(own)} tokens) "
                f"differ in {differing} entries; {role} needs models that share one tokenizer"
            )
