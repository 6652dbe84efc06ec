"""The loss of a target reply under many suffixes of one prompt, and its gradient in the suffix's embeddings.

What the suffixes have in common is encoded once: the prompt before the slot for good, and per batch also the tokens in
which all its suffixes agree with the suffix that they were made from. Batches are cut so that this is as much as pays.
The output head runs on the target only.

Knows token ids, a causal language model and its cache. Knows nothing of tokenizers, chats or search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.prefix import GrowingCache, new_cache
from trued.language.engine.scoring import full_logits

CALL_TOKENS, CALL_TOKENS_GPU = 32, 2048
"""What a forward pass costs beside its tokens (reading weights, launching kernels), in tokens, on a CPU and a GPU."""

LONGEST_SUFFIX = 512
"""Tokens of a suffix that are allowed for where a model's positions depend on the length of the whole."""


@dataclass(frozen=True)
class Encoded:
    """The keys and values of the prompt before the slot, followed by those of `suffix`."""

    suffix: Int[Tensor, " n"]
    cache: GrowingCache


class SuffixLoss:
    """Loss of `target` after ``before + suffix + after``, for suffixes of one length.

    Args:
        model: the model, in evaluation mode.
        before: token ids before the slot.
        after: token ids between the slot and the reply.
        target: token ids of the reply.
        mellowmax: None takes the mean cross-entropy of the target's tokens; a number alpha takes the mellowmax of
            their negative logits, ``(logsumexp(-alpha z) - log |target|) / alpha``, which weighs the worst token more.
        batch_size: suffixes a forward pass; halved when memory runs out.
        cached: whether to reuse keys and values, where the model's family allows it.
    """

    def __init__(
        self,
        model: LanguageModel,
        before: Sequence[int],
        after: Sequence[int],
        target: Sequence[int],
        *,
        mellowmax: float | None = None,
        batch_size: int = 64,
        cached: bool = True,
    ) -> None:
        self.model = model
        self.embed = model.embed
        self.device = model.device
        self.before, self.after, self.target = (
            torch.tensor(list(ids), dtype=torch.long, device=self.device) for ids in (before, after, target)
        )
        self.mellowmax = mellowmax
        self.batch_size = batch_size
        self.forwards = 0
        self.backwards = 0
        whole = len(self.before) + LONGEST_SUFFIX + len(self.after) + len(self.target)
        reuse = cached and len(self.before) > 0 and model.reuses_prefix(whole)
        self._prefix = self._encode_prefix() if reuse else None

    @torch.no_grad()
    def __call__(
        self, suffixes: Int[Tensor, "rows n"], base: Encoded | None = None
    ) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
        """Return the loss of every suffix, and whether greedy decoding after it gives exactly the target.

        Args:
            suffixes: token ids.
            base: the suffix from which these were made; the tokens before the first difference are not computed again.
        """
        suffixes = suffixes.to(self.device)
        shared = _agreement(suffixes, base)
        losses = torch.empty(len(suffixes), device=self.device)
        exact = torch.empty(len(suffixes), dtype=torch.bool, device=self.device)
        for rows in self._groups(shared, suffixes.shape[1] + len(self.after) + len(self.target) - 1):
            start = 0
            while start < len(rows):
                batch = rows[start : start + self.batch_size]
                try:
                    logits = self._target_logits(suffixes[batch], int(shared[batch[0]]), base)
                    losses[batch] = self._loss(logits)
                    exact[batch] = (logits.argmax(-1) == self.target).all(1)
                except torch.OutOfMemoryError:
                    if self.batch_size == 1:
                        raise
                    self.batch_size //= 2
                    continue
                start += len(batch)
        self.forwards += len(suffixes)
        return losses.cpu(), exact.cpu()

    def _groups(self, shared: Int[Tensor, " rows"], width: int) -> list[Int[Tensor, " group"]]:
        """Return the rows in order of `shared`, cut where another forward pass costs less than the tokens it spares."""
        order = shared.argsort(stable=True)
        values, counts = shared[order].unique_consecutive(return_counts=True)
        call = CALL_TOKENS if self.device.type == "cpu" else CALL_TOKENS_GPU
        sizes = [
            sum(counts[start:end].tolist())
            for start, end in pairwise(cheapest_cuts(values.tolist(), counts.tolist(), width, self.batch_size, call))
        ]
        return list(order.split(sizes))

    def gradient(self, suffix: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n dim"], Encoded | None]:
        """Return the gradient of the loss in the embeddings of `suffix`, and its encoding for later calls.

        The gradient in the one-hot rows that GCG speaks of is this one times E^T, since an embedding is a one-hot row
        times E; so no [n, vocabulary] input is ever built. One forward and one backward pass of one sequence.
        """
        suffix = suffix.to(self.device)
        rest = torch.cat([self.after, self.target[:-1]])
        with torch.no_grad():
            fixed_before, start, fixed_after = self.embed(self.before), self.embed(suffix), self.embed(rest)
        leaf = start.detach().clone().requires_grad_()
        with torch.enable_grad():
            cache = self._prefix.expand(1) if self._prefix is not None else None
            ids, parts = [suffix, rest], [leaf, fixed_after]
            if cache is None:
                ids, parts = [self.before, *ids], [fixed_before, *parts]
            loss = self._loss(self._forward(cache, torch.cat(ids)[None], torch.cat(parts)[None]))
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        self.forwards += 1
        self.backwards += 1
        return gradient, self._encoded(suffix, cache)

    @torch.no_grad()
    def encode(self, suffix: Int[Tensor, " n"]) -> Encoded | None:
        """Return the encoding of `suffix` for later calls; None where keys and values are not reused."""
        if self._prefix is None:
            return None
        suffix = suffix.to(self.device)
        cache = self._prefix.expand(1)
        self.model.backbone(input_ids=suffix[None], past_key_values=cache, use_cache=True)
        self.forwards += 1
        return self._encoded(suffix, cache)

    def _encoded(self, suffix: Tensor, cache: GrowingCache | None) -> Encoded | None:
        if cache is None:
            return None
        own = cache.expand(1)
        _crop(own, len(self.before) + len(suffix))
        for layer in own.layers:
            layer.keys, layer.values = layer.keys.detach(), layer.values.detach()  # pyright: ignore
        return Encoded(suffix, own)

    @torch.no_grad()
    def _encode_prefix(self) -> GrowingCache:
        cache = new_cache(self.model.config, reserve=0)
        self.model.backbone(input_ids=self.before[None], past_key_values=cache, use_cache=True)
        self.forwards += 1
        return cache

    def _target_logits(self, suffixes: Tensor, shared: int, base: Encoded | None) -> Float[Tensor, "rows target vocab"]:
        rows = len(suffixes)
        tail = torch.cat([self.after, self.target[:-1]]).expand(rows, -1)
        if self._prefix is None:
            return self._forward(None, torch.cat([self.before.expand(rows, -1), suffixes, tail], 1))
        cache = (base.cache if base is not None else self._prefix).expand(rows)
        _crop(cache, len(self.before) + shared)
        return self._forward(cache, torch.cat([suffixes[:, shared:], tail], 1))

    def _forward(
        self, cache: GrowingCache | None, ids: Tensor, embeddings: Tensor | None = None
    ) -> Float[Tensor, "rows target vocab"]:
        """Return the logits that predict the target, which ends one token past the input."""
        options = {} if cache is None else {"past_key_values": cache, "use_cache": True}
        states = self.model.sequence_states(ids, embeddings, **options)
        # Flat and contiguous, not `logits_to_keep`: on a strided [rows, target, dim] torch copies the head a row.
        hidden = states[:, -len(self.target) :].flatten(0, 1)
        return full_logits(hidden, self.model.head, self.model.config).unflatten(0, (-1, len(self.target)))

    def _loss(self, logits: Float[Tensor, "rows target vocab"]) -> Float[Tensor, " rows"]:
        target = self.target.expand(len(logits), -1)
        if self.mellowmax is None:
            # Flat: along a strided vocabulary cross_entropy takes three times as long.
            each = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
            return each.view_as(target).mean(1)
        alpha = self.mellowmax
        target_logits = logits.gather(-1, target[..., None])[..., 0]
        return ((-alpha * target_logits).logsumexp(1) - math.log(len(self.target))) / alpha


def _agreement(suffixes: Int[Tensor, "rows n"], base: Encoded | None) -> Int[Tensor, " rows"]:
    """Tokens that each suffix shares with the base from the start; its last is always computed, to have an input."""
    if base is None:
        return suffixes.new_zeros(len(suffixes))
    return (suffixes == base.suffix).long().cumprod(1).sum(1).clamp(max=suffixes.shape[1] - 1)


def cheapest_cuts(shared: Sequence[int], counts: Sequence[int], width: int, batch_size: int, call: int) -> list[int]:
    """Return where to cut sorted groups of rows into runs so that computing them all costs least.

    The rows of a run are computed together from the least `shared` among them: ``width - shared`` tokens each, and
    `call` tokens' worth of overhead per forward pass of at most `batch_size` rows. Exact, by dynamic programming.

    Args:
        shared: leading tokens that the rows of each group need not compute, in increasing order.
        counts: rows of each group.
        width: tokens of a row that shares none.
        batch_size: the most rows of a forward pass.
        call: overhead of a forward pass, in tokens.

    Returns:
        The bounds of the runs: 0, …, len(shared).
    """
    cost, start = [0.0], [0]
    for end in range(1, len(shared) + 1):
        best, rows = (math.inf, 0), 0
        for first in range(end - 1, -1, -1):
            rows += counts[first]
            passes = math.ceil(rows / batch_size)
            best = min(best, (cost[first] + rows * (width - shared[first]) + call * passes, first))
        cost.append(best[0])
        start.append(best[1])
    cuts = [len(shared)]
    while cuts[-1]:
        cuts.append(start[cuts[-1]])
    return cuts[::-1]


def _crop(cache: GrowingCache, length: int) -> None:
    """Shorten an expanded cache to its first `length` columns; the cache that it shares them with is left alone."""
    for layer in cache.layers:
        layer.crop(min(0, length - layer.get_seq_length()))  # pyright: ignore


def require_finite(losses: Tensor, step: int, *models: LanguageModel) -> None:
    """Raise `InputError` if a loss is NaN or infinite: the search would follow noise."""
    if not bool(torch.isfinite(losses).all()):
        names = " and ".join(f"{model.name} in {model.dtype}" for model in models)
        raise InputError(f"step {step}: the loss of {names} is not finite; load it in float32 or bfloat16")
